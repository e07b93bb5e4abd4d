/* The supervisor's part of the configuration file. */
#include "broker/supervisor/settings.h"

#include "common/config.h"
#include "common/util.h"

#include <assert.h>

#define IN_POLICY(field) offsetof(child_policy_t, field)

/* clang-format off */
static const config_item_t restart_numbers[] = {
    /* key            field                      least    most  unit */
    {"intensity",     IN_POLICY(intensity),          0,   1000,    1, NULL},
    {"period",        IN_POLICY(period),             1,   3600, 1000, NULL},
    {"first-delay",   IN_POLICY(first_delay),        1,  60000,    1, NULL},
    {"last-delay",    IN_POLICY(last_delay),         1, 600000,    1, NULL},
    {"attempts",      IN_POLICY(attempts),           1,   1000,    1, NULL},
    {"failed-delay",  IN_POLICY(failed_delay),       1,   3600, 1000, NULL},
    {"start-timeout", IN_POLICY(start_timeout),      1,   3600, 1000, NULL},
    {"stop-timeout",  IN_POLICY(stop_timeout),       1,   3600, 1000, NULL},
};
/* clang-format on */

static const struct {
    const char *name, *reader;
} foreign_sections[] = {
    {"broker", NULL}, /* two without keys */
    {"bundle", NULL},
    {"shim", "shimd-shim"},
    {"metadata", "shimd-metadata"},
    {"journal", "shimd-metadata"},
};

void settings_init(settings_t *self)
{
    *self = (settings_t){.log_level = LOG_LEVEL_INFO, .policy = child_policy_default};
}

static status_code_t unknown_key(const char *key, status_t *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "unknown key %s", key);
}

static status_code_t take_restart(settings_t *self, zconfig_t *section, status_t *st)
{
    if (config_take_items(section, restart_numbers, ARRAY_SIZE(restart_numbers), &self->policy, st))
        return st->code;
    if (self->policy.last_delay < self->policy.first_delay)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "restart/last-delay = %d: less than restart/first-delay = %d",
                          self->policy.last_delay, self->policy.first_delay);
    return STATUS_OK;
}

static void add_reader(settings_t *self, const char *executable)
{
    for (size_t i = 0; i < self->reader_count; i++)
        if (streq(self->readers[i], executable))
            return;
    assert(self->reader_count < SETTINGS_READERS_MAX);
    self->readers[self->reader_count++] = executable;
}

/* False when the section is not a worker's. */
static bool take_foreign(settings_t *self, zconfig_t *section, status_t *st)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(foreign_sections) &&
           !streq(foreign_sections[i].name, zconfig_name(section)))
        i++;
    if (i == ARRAY_SIZE(foreign_sections))
        return false;
    if (foreign_sections[i].reader)
        add_reader(self, foreign_sections[i].reader);
    else
        config_take_items(section, NULL, 0, NULL, st);
    return true;
}

static status_code_t take_item(settings_t *self, zconfig_t *item, status_t *st)
{
    const char *name = zconfig_name(item), *value = zconfig_value(item);
    status_clear(st);
    if (take_foreign(self, item, st))
        return st->code;
    if (streq(name, "restart"))
        return take_restart(self, item, st);
    if (zconfig_child(item))
        return unknown_key(name, st);
    if (streq(name, "log-level"))
        return log_level_parse(value, &self->log_level)
                   ? STATUS_OK
                   : status_set(st, STATUS_INVALID_ARGUMENT,
                                "log-level = %s: not error, warn, info or debug", value);
    if (streq(name, "failpoints")) /* of all processes: common/failpoint.h */
        return streq(value, "on") || streq(value, "off")
                   ? STATUS_OK
                   : status_set(st, STATUS_INVALID_ARGUMENT, "failpoints = %s: not on or off",
                                value);
    if (streq(name, "socket-group")) {
        if (strlen(value) >= sizeof self->socket_group)
            return status_set(st, STATUS_INVALID_ARGUMENT, "socket-group: longer than %d bytes",
                              SETTINGS_GROUP_MAX - 1);
        snprintf(self->socket_group, sizeof self->socket_group, "%s", value);
        return STATUS_OK;
    }
    return unknown_key(name, st);
}

status_code_t settings_read(settings_t *self, const char *path, bool must_exist, status_t *st)
{
    zconfig_t *root;
    if (config_load(path, must_exist, &root, st))
        return st->code;
    zconfig_t *item = root ? zconfig_child(root) : NULL;
    while (item && !take_item(self, item, st))
        item = zconfig_next(item);
    zconfig_destroy(&root);
    return item ? status_wrap(st, "%s", path) : STATUS_OK;
}
