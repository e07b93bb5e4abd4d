/* The init process of a task, in its bundle: what is left to know it by when its shim and a
 * predecessor are gone. */
#ifndef SHIMD_SHIM_INIT_RECORD_H
#define SHIMD_SHIM_INIT_RECORD_H

#include "common/message.h"
#include "common/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct init_record {
    uint32_t pid;
    uint64_t start;      /* proc_start_time */
    uint32_t oom_before; /* kills for want of memory that its cgroup counted, and that were told */
    char oom_file[PATH_MAX]; /* where it counts them; "" when that is nowhere */
    bool has_started;        /* its shim was asked to start it, or was about to be */
    msg_uuid_t starter;      /* for this request */
} init_record_t;

/* init.json; a failure leaves the one that is there. */
status_code_t init_record_write(const char *bundle, const init_record_t *record, status_t *st);

/* False when there is none. */
bool init_record_read(const char *bundle, init_record_t *ret);

#endif
