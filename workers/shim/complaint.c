/* Failures that repeat. */
#include "workers/shim/complaint.h"

#include "common/util.h"

log_level_t complaint_level(complaint_t *self, status_code_t code, log_level_t level)
{
    int64_t now = util_monotonic_us();
    if (code == self->code && now < self->due)
        return LOG_LEVEL_DEBUG;
    self->code = code;
    self->due = now + COMPLAINT_AGAIN_MS * (int64_t)1000;
    return level;
}
