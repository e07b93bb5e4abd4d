/* What fails again and again is told when it begins and when the reason changes, and then rarely:
 * in between it is for those who look for it. */
#ifndef SHIMD_SHIM_COMPLAINT_H
#define SHIMD_SHIM_COMPLAINT_H

#include "common/log.h"
#include "common/status.h"

#include <stdint.h>

#define COMPLAINT_AGAIN_MS 60000

/* Zero at first. */
typedef struct complaint {
    status_code_t code; /* of the last failure */
    int64_t due;        /* util_monotonic_us, when the same is told again */
} complaint_t;

/* At which level a failure is logged: `level` when it is to be told, otherwise debug. */
log_level_t complaint_level(complaint_t *self, status_code_t code, log_level_t level);

#endif
