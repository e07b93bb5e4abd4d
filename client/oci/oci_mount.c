/* The mounts of a container. */
#include "client/oci/oci_mount.h"

#include <string.h>

#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

#define FLAG "--mount"

#define OPTIONS_MAX 6

typedef struct default_mount {
    const char *destination;
    const char *type;
    const char *source;
    const char *options[OPTIONS_MAX + 1];
} default_mount_t;

static const default_mount_t defaults[] = {
    {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
    {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
    {"/dev/pts",
     "devpts",
     "devpts",
     {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
    {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
    {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
    {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
    {"/run", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
};

json_t *oci_mount_defaults(bool privileged)
{
    json_t *mounts = oci_json_must(json_array());
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
        const default_mount_t *row = &defaults[i];
        json_t *options = oci_json_must(json_array());
        for (size_t n = 0; row->options[n]; n++) {
            bool unlock = privileged && !strcmp(row->options[n], "ro");
            oci_json_push(options, json_string(unlock ? "rw" : row->options[n]));
        }
        oci_json_push(mounts,
                      json_pack("{s:s, s:s, s:s, s:o}", "destination", row->destination, "type",
                                row->type, "source", row->source, "options", options));
    }
    return mounts;
}

json_t *oci_mount_host_file(const char *path)
{
    return oci_json_must(json_pack("{s:s, s:s, s:s, s:[s, s]}", "destination", path, "type", "bind",
                                   "source", path, "options", "rbind", "ro"));
}

/* Cuts one CSV field (RFC 4180) off `*rest`, in place; `*rest` is NULL after the last one. Returns
 * NULL when the quoting is broken. */
static char *next_field(char **rest)
{
    char *field = *rest;
    if (*field != '"') {
        strsep(rest, ",");
        return strchr(field, '"') ? NULL : field;
    }
    char *from = field + 1;
    char *to = field;
    for (; *from; *to++ = *from++) {
        if (*from != '"')
            continue;
        if (from[1] != '"')
            break;
        from++;
    }
    if (*from != '"' || (from[1] && from[1] != ','))
        return NULL;
    *rest = from[1] ? from + 2 : NULL;
    *to = '\0';
    return field;
}

/* Splits "A:B" into an array; NULL with the reason in st. */
static json_t *split_options(const char *text, char *options, status_t *st)
{
    json_auto_t *array = oci_json_must(json_array());
    while (options) {
        const char *option = strsep(&options, ":");
        if (!*option) {
            oci_text_refuse(st, FLAG, text, "an option is empty");
            return NULL;
        }
        if (json_array_size(array) >= OCI_MOUNT_OPTIONS_MAX) {
            oci_text_refuse(st, FLAG, text, "more than %d options", OCI_MOUNT_OPTIONS_MAX);
            return NULL;
        }
        oci_json_push(array, json_string(option));
    }
    return TAKE(array);
}

static status_code_t set_field(json_t *mount, const char *text, char *field, status_t *st)
{
    static const struct {
        const char *name;
        const char *key;
    } names[] = {
        {"type", "type"},       {"source", "source"},           {"src", "source"},
        {"options", "options"}, {"destination", "destination"}, {"dst", "destination"},
    };
    char *value = strchr(field, '=');
    if (!value)
        return oci_text_refuse(st, FLAG, text, "fields look like NAME=VALUE");
    *value++ = '\0';
    size_t i = 0;
    while (i < ARRAY_SIZE(names) && strcmp(names[i].name, field))
        i++;
    if (i == ARRAY_SIZE(names))
        return oci_text_refuse(st, FLAG, text, "fields are type, src, dst and options, not '%s'",
                               field);
    const char *key = names[i].key;
    if (json_object_get(mount, key))
        return oci_text_refuse(st, FLAG, text, "%s is given twice", key);
    if (!*value)
        return oci_text_refuse(st, FLAG, text, "%s is empty", key);

    json_t *json = strcmp(key, "options") ? json_string(value) : split_options(text, value, st);
    if (!json)
        return st->code;
    oci_json_set(mount, key, json);
    return STATUS_OK;
}

static status_code_t check_mount(const json_t *mount, const char *text, status_t *st)
{
    const char *destination = json_string_value(json_object_get(mount, "destination"));
    const char *source = json_string_value(json_object_get(mount, "source"));
    const char *type = json_string_value(json_object_get(mount, "type"));
    bool bind = false;
    size_t i;
    json_t *option;
    json_array_foreach(json_object_get(mount, "options"), i, option)
    {
        const char *name = json_string_value(option);
        bind |= !strcmp(name, "bind") || !strcmp(name, "rbind");
    }

    if (!destination)
        return oci_text_refuse(st, FLAG, text, "the destination (dst=PATH) is missing");
    if (*destination != '/')
        return oci_text_refuse(st, FLAG, text, "the destination is not an absolute path");
    if (strlen(destination) > OCI_TEXT_PATH_MAX || (source && strlen(source) > OCI_TEXT_PATH_MAX))
        return oci_text_refuse(st, FLAG, text, "a path is longer than %d bytes", OCI_TEXT_PATH_MAX);
    if (!type && !bind)
        return oci_text_refuse(st, FLAG, text, "the type (type=TYPE) is missing");
    if (!bind && !strcmp(type, "bind"))
        return oci_text_refuse(st, FLAG, text, "a bind mount needs the option bind or rbind");
    if (bind && (!source || *source != '/'))
        return oci_text_refuse(st, FLAG, text, "a bind mount needs an absolute source");
    return STATUS_OK;
}

json_t *oci_mount_parse(const char *text, status_t *st)
{
    if (oci_text_check(FLAG, text, OCI_MOUNT_SIZE_MAX, st))
        return NULL;
    if (strpbrk(text, "\r\n")) {
        oci_text_refuse(st, FLAG, text, "more than one line");
        return NULL;
    }
    AUTO_FREE char *copy = util_strdup(text);
    json_auto_t *mount = oci_json_must(json_object());
    for (char *rest = copy; rest;) {
        char *field = next_field(&rest);
        if (!field) {
            oci_text_refuse(st, FLAG, text, "a double quote is out of place");
            return NULL;
        }
        if (set_field(mount, text, field, st))
            return NULL;
    }
    if (check_mount(mount, text, st))
        return NULL;
    return TAKE(mount);
}
