/* The configuration file. */
#include "common/config.h"

#include "common/util.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static status_code_t parse(const char *path, zconfig_t **ret, status_t *st)
{
    /* Not zconfig_load, which leaks the file when there is something wrong in it (czmq 4.2.1). */
    zchunk_t *text = zchunk_slurp(path, CONFIG_FILE_MAX);
    if (!text)
        return status_errno(st, errno, "read %s", path);
    bool is_empty = zchunk_size(text) == 0;
    *ret = is_empty ? NULL : zconfig_chunk_load(text);
    zchunk_destroy(&text);
    if (!*ret && !is_empty)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: not readable as ZPL", path);
    return STATUS_OK;
}

status_code_t config_load(const char *path, bool must_exist, zconfig_t **ret, status_t *st)
{
    struct stat info;
    *ret = NULL;
    if (stat(path, &info)) {
        if (errno == ENOENT && !must_exist)
            return STATUS_OK;
        return status_errno(st, errno, "read %s", path);
    }
    if (!S_ISREG(info.st_mode) || info.st_size > CONFIG_FILE_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: not a file of at most %d bytes", path,
                          CONFIG_FILE_MAX);
    return parse(path, ret, st);
}

static status_code_t take_word(const char *section, const config_item_t *row, const char *text,
                               void *target, status_t *st)
{
    AUTO_FREE char *all = util_strdup("");
    for (int i = 0; row->words[i]; i++) {
        if (streq(row->words[i], text)) {
            memcpy((char *)target + row->offset, &i, sizeof i);
            return STATUS_OK;
        }
        char *longer = util_format("%s%s%s", all, i ? ", " : "", row->words[i]);
        free(all);
        all = longer;
    }
    return status_set(st, STATUS_INVALID_ARGUMENT, "%s/%s = %s: not one of %s", section, row->key,
                      text, all);
}

static status_code_t take_duration(const char *section, const config_item_t *row, const char *text,
                                   void *target, status_t *st)
{
    static const struct {
        char unit;
        long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10), seconds = 0;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (end != text && end[0] == units[i].unit && !end[1])
            seconds = units[i].seconds;
    if (!seconds || errno || value < 0 || value > row->most / seconds ||
        value * seconds < row->least)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s/%s = %s: not a number of seconds, minutes, hours or days like 45s, "
                          "30m, 12h or 7d, from %lds to %ldd",
                          section, row->key, text, row->least, row->most / 86400);
    int result = (int)(value * seconds);
    memcpy((char *)target + row->offset, &result, sizeof result);
    return STATUS_OK;
}

static status_code_t take_number(const char *section, const config_item_t *row, const char *text,
                                 void *target, status_t *st)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < row->least || value > row->most)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s/%s = %s: not a whole number from %ld to %ld", section, row->key, text,
                          row->least, row->most);
    int result = (int)value * row->unit;
    memcpy((char *)target + row->offset, &result, sizeof result);
    return STATUS_OK;
}

status_code_t config_take_item(zconfig_t *section, zconfig_t *item, const config_item_t *rows,
                               size_t count, void *target, status_t *st)
{
    const config_item_t *row = NULL;
    for (size_t i = 0; i < count; i++)
        if (streq(rows[i].key, zconfig_name(item)))
            row = &rows[i];
    if (!row || zconfig_child(item))
        return status_set(st, STATUS_INVALID_ARGUMENT, "unknown key %s/%s", zconfig_name(section),
                          zconfig_name(item));
    const char *name = zconfig_name(section), *value = zconfig_value(item);
    if (row->words)
        return take_word(name, row, value, target, st);
    if (row->unit == CONFIG_DURATION)
        return take_duration(name, row, value, target, st);
    return take_number(name, row, value, target, st);
}

status_code_t config_take_items(zconfig_t *section, const config_item_t *rows, size_t count,
                                void *target, status_t *st)
{
    for (zconfig_t *item = zconfig_child(section); item; item = zconfig_next(item))
        if (config_take_item(section, item, rows, count, target, st))
            return st->code;
    return STATUS_OK;
}

status_code_t config_read_section(const char *path, const char *name, const config_item_t *rows,
                                  size_t count, void *target, status_t *st)
{
    zconfig_t *root;
    status_clear(st);
    if (config_load(path, false, &root, st))
        return st->code;
    for (zconfig_t *item = root ? zconfig_child(root) : NULL; item && !st->code;
         item = zconfig_next(item))
        if (streq(zconfig_name(item), name) && config_take_items(item, rows, count, target, st))
            status_wrap(st, "%s", path);
    zconfig_destroy(&root);
    return st->code;
}
