/* The section `metadata` of the configuration file. */
#include "workers/metadata/settings.h"

#include "common/config.h"
#include "common/util.h"

#define IN_RESTARTS(field) offsetof(settings_t, restarts.field)
#define MOST_MS            3600000

/* clang-format off */
static const config_item_t rows[] = {
    {"subscriber-idle",       offsetof(settings_t, subscriber_idle), 0,    3650, 1, NULL},
    {"container-first-delay", IN_RESTARTS(first),                    1, MOST_MS, 1, NULL},
    {"container-last-delay",  IN_RESTARTS(last),                     1, MOST_MS, 1, NULL},
    {"container-reset",       IN_RESTARTS(reset),                    1, MOST_MS, 1, NULL},
};
/* clang-format on */

status_code_t settings_read(settings_t *self, const char *config, status_t *st)
{
    *self = (settings_t){.subscriber_idle = 30, .restarts = restart_delays_default};
    if (config_read_section(config, "metadata", rows, ARRAY_SIZE(rows), self, st))
        return st->code;
    if (self->restarts.last < self->restarts.first)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "metadata/container-last-delay = %d: less than "
                          "metadata/container-first-delay = %d",
                          self->restarts.last, self->restarts.first);
    return STATUS_OK;
}
