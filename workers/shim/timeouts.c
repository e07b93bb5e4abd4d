/* The section `shim` of the configuration file. */
#include "workers/shim/timeouts.h"

#include "common/config.h"
#include "common/util.h"

#define LEAST 10      /* ms */
#define MOST  3600000 /* ms */

/* clang-format off */
static const config_number_t rows[] = {
    {"start-timeout",    offsetof(timeouts_t, start),    LEAST, MOST, 1},
    {"connect-timeout",  offsetof(timeouts_t, connect),  LEAST, MOST, 1},
    {"create-timeout",   offsetof(timeouts_t, create),   LEAST, MOST, 1},
    {"call-timeout",     offsetof(timeouts_t, call),     LEAST, MOST, 1},
    {"state-timeout",    offsetof(timeouts_t, state),    LEAST, MOST, 1},
    {"load-timeout",     offsetof(timeouts_t, load),     LEAST, MOST, 1},
    {"cleanup-timeout",  offsetof(timeouts_t, cleanup),  LEAST, MOST, 1},
    {"shutdown-timeout", offsetof(timeouts_t, shutdown), LEAST, MOST, 1},
};
/* clang-format on */

status_code_t timeouts_read(timeouts_t *self, const char *config, status_t *st)
{
    /* The last four are containerd's io.containerd.timeout.task.state, .shim.load, .shim.cleanup
     * (5 s there, short for a busy machine) and .shim.shutdown. */
    *self = (timeouts_t){.start = 10000,
                         .connect = 10000,
                         .create = 40000,
                         .call = 30000,
                         .state = 2000,
                         .load = 5000,
                         .cleanup = 10000,
                         .shutdown = 3000};
    return config_read_numbers(config, "shim", rows, ARRAY_SIZE(rows), self, st);
}
