/* The section `metadata` of the configuration file. */
#include "workers/metadata/settings.h"

#include "common/config.h"
#include "common/util.h"

static const config_item_t rows[] = {
    {"subscriber-idle", offsetof(settings_t, subscriber_idle), 0, 3650, 1, NULL},
};

status_code_t settings_read(settings_t *self, const char *config, status_t *st)
{
    *self = (settings_t){.subscriber_idle = 30};
    return config_read_section(config, "metadata", rows, ARRAY_SIZE(rows), self, st);
}
