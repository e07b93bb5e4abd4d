/* The supervisor's part of the configuration file. */
#include "broker/supervisor/settings.h"

#include "common/util.h"

#include <czmq.h>
#include <sys/stat.h>

/* A number in the file: its range there, and what one of it is in the field. */
typedef struct number {
    const char *key;
    size_t offset; /* of an int or unsigned in child_policy_t */
    long least, most;
    int unit; /* milliseconds per unit of the file, or 1 */
} number_t;

#define IN_POLICY(field) offsetof(child_policy_t, field)

/* clang-format off */
static const number_t restart_numbers[] = {
    /* key            field                      least    most  unit */
    {"intensity",     IN_POLICY(intensity),          0,   1000,    1},
    {"period",        IN_POLICY(period),             1,   3600, 1000},
    {"first-delay",   IN_POLICY(first_delay),        1,  60000,    1},
    {"last-delay",    IN_POLICY(last_delay),         1, 600000,    1},
    {"attempts",      IN_POLICY(attempts),           1,   1000,    1},
    {"failed-delay",  IN_POLICY(failed_delay),       1,   3600, 1000},
    {"start-timeout", IN_POLICY(start_timeout),      1,   3600, 1000},
    {"stop-timeout",  IN_POLICY(stop_timeout),       1,   3600, 1000},
};
/* clang-format on */

static const char *const foreign_sections[] = {"broker", "bundle", "shim", "metadata"};

void settings_init(settings_t *self)
{
    *self = (settings_t){.log_level = LOG_LEVEL_INFO, .policy = child_policy_default};
}

static status_code_t unknown_key(const char *section, const char *key, status_t *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "unknown key %s%s", section, key);
}

static status_code_t take_number(child_policy_t *policy, const number_t *row, const char *text,
                                 status_t *st)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < row->least || value > row->most)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "restart/%s = %s: not a whole number from %ld to %ld", row->key, text,
                          row->least, row->most);
    int result = (int)value * row->unit;
    memcpy((char *)policy + row->offset, &result, sizeof result);
    return STATUS_OK;
}

static status_code_t take_restart(settings_t *self, zconfig_t *section, status_t *st)
{
    for (zconfig_t *item = zconfig_child(section); item; item = zconfig_next(item)) {
        const number_t *row = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(restart_numbers); i++)
            if (streq(restart_numbers[i].key, zconfig_name(item)))
                row = &restart_numbers[i];
        if (!row || zconfig_child(item))
            return unknown_key("restart/", zconfig_name(item), st);
        if (take_number(&self->policy, row, zconfig_value(item), st))
            return st->code;
    }
    if (self->policy.last_delay < self->policy.first_delay)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "restart/last-delay = %d: less than restart/first-delay = %d",
                          self->policy.last_delay, self->policy.first_delay);
    return STATUS_OK;
}

static bool is_foreign(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(foreign_sections); i++)
        if (streq(foreign_sections[i], name))
            return true;
    return false;
}

static status_code_t take_item(settings_t *self, zconfig_t *item, status_t *st)
{
    const char *name = zconfig_name(item), *value = zconfig_value(item);
    if (is_foreign(name))
        return STATUS_OK;
    if (streq(name, "restart"))
        return take_restart(self, item, st);
    if (zconfig_child(item))
        return unknown_key("", name, st);
    if (streq(name, "log-level"))
        return log_level_parse(value, &self->log_level)
                   ? STATUS_OK
                   : status_set(st, STATUS_INVALID_ARGUMENT,
                                "log-level = %s: not error, warn, info or debug", value);
    if (streq(name, "socket-group")) {
        if (strlen(value) >= sizeof self->socket_group)
            return status_set(st, STATUS_INVALID_ARGUMENT, "socket-group: longer than %d bytes",
                              SETTINGS_GROUP_MAX - 1);
        snprintf(self->socket_group, sizeof self->socket_group, "%s", value);
        return STATUS_OK;
    }
    return unknown_key("", name, st);
}

/* The tree in `path`, NULL for an empty file; the caller destroys it. */
static status_code_t load(const char *path, zconfig_t **ret, status_t *st)
{
    /* Not zconfig_load, which leaks the file when there is something wrong in it (czmq 4.2.1). */
    zchunk_t *text = zchunk_slurp(path, SETTINGS_FILE_MAX);
    if (!text)
        return status_errno(st, errno, "read %s", path);
    bool is_empty = zchunk_size(text) == 0;
    *ret = is_empty ? NULL : zconfig_chunk_load(text);
    zchunk_destroy(&text);
    if (!*ret && !is_empty)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: not readable as ZPL", path);
    return STATUS_OK;
}

status_code_t settings_read(settings_t *self, const char *path, bool must_exist, status_t *st)
{
    struct stat info;
    if (stat(path, &info)) {
        if (errno == ENOENT && !must_exist)
            return STATUS_OK;
        return status_errno(st, errno, "read %s", path);
    }
    if (!S_ISREG(info.st_mode) || info.st_size > SETTINGS_FILE_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: not a file of at most %d bytes", path,
                          SETTINGS_FILE_MAX);
    zconfig_t *root;
    if (load(path, &root, st))
        return st->code;
    zconfig_t *item = root ? zconfig_child(root) : NULL;
    while (item && !take_item(self, item, st))
        item = zconfig_next(item);
    zconfig_destroy(&root);
    return item ? status_wrap(st, "%s", path) : STATUS_OK;
}
