/* What a shim passes on to its logger. */
#include "logger/log_settings.h"

#include <stdlib.h>
#include <string.h>

static uint64_t bounded(const char *text, uint64_t min, uint64_t max)
{
    uint64_t value = strtoull(text, NULL, 10);
    return value < min ? min : value > max ? max : value;
}

void log_settings_read(int argc, char **argv, log_settings_t *ret)
{
    *ret = (log_settings_t){
        .limits = {.max_size = LOG_STORE_SIZE_DEFAULT, .max_files = LOG_STORE_FILES_DEFAULT}};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *key = argv[i], *value = argv[i + 1];
        if (!strcmp(key, LOG_SETTING_DIR))
            ret->dir = value;
        else if (!strcmp(key, LOG_SETTING_MAX_SIZE))
            ret->limits.max_size = bounded(value, LOG_STORE_SIZE_MIN, INT64_MAX);
        else if (!strcmp(key, LOG_SETTING_MAX_FILES))
            ret->limits.max_files = bounded(value, 1, LOG_STORE_FILES_MAX);
        else if (!strcmp(key, LOG_SETTING_TERMINAL))
            ret->terminal = !strcmp(value, "1");
        else if (!strcmp(key, LOG_SETTING_FAILPOINTS))
            ret->failpoints = value;
    }
}
