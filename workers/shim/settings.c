/* The section `shim` of the configuration file. */
#include "workers/shim/settings.h"

#include "common/config.h"
#include "common/util.h"

#define LEAST 10      /* ms */
#define MOST  3600000 /* ms */

#define IN_TIMEOUTS(field) offsetof(settings_t, timeouts.field)

static const char *const losses[] = {[SHIM_LOSS_KEEP] = "keep", [SHIM_LOSS_KILL] = "kill", NULL};

/* clang-format off */
static const config_item_t rows[] = {
    {"start-timeout",    IN_TIMEOUTS(start),    LEAST, MOST, 1, NULL},
    {"connect-timeout",  IN_TIMEOUTS(connect),  LEAST, MOST, 1, NULL},
    {"path-timeout",     IN_TIMEOUTS(path),     LEAST, MOST, 1, NULL},
    {"create-timeout",   IN_TIMEOUTS(create),   LEAST, MOST, 1, NULL},
    {"call-timeout",     IN_TIMEOUTS(call),     LEAST, MOST, 1, NULL},
    {"state-timeout",    IN_TIMEOUTS(state),    LEAST, MOST, 1, NULL},
    {"load-timeout",     IN_TIMEOUTS(load),     LEAST, MOST, 1, NULL},
    {"cleanup-timeout",  IN_TIMEOUTS(cleanup),  LEAST, MOST, 1, NULL},
    {"shutdown-timeout", IN_TIMEOUTS(shutdown), LEAST, MOST, 1, NULL},
    {"on-shim-loss",     offsetof(settings_t, on_shim_loss), 0, 0, 1, losses},
};
/* clang-format on */

status_code_t settings_read(settings_t *self, const char *config, status_t *st)
{
    /* The last four are containerd's io.containerd.timeout.task.state, .shim.load, .shim.cleanup
     * (5 s there, short for a busy machine) and .shim.shutdown. */
    *self = (settings_t){.timeouts = {.start = 10000,
                                      .connect = 10000,
                                      .path = 10000,
                                      .create = 40000,
                                      .call = 30000,
                                      .state = 2000,
                                      .load = 5000,
                                      .cleanup = 10000,
                                      .shutdown = 3000}};
    return config_read_section(config, "shim", rows, ARRAY_SIZE(rows), self, st);
}
