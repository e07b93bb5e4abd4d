/* The mounts of a task's root filesystem, as its shim gets them in Create. */
#include "workers/shim/rootfs.h"

#include "common/util.h"
#include "workers/shim/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILESYSTEMS "/proc/filesystems"

/* Mode of the upper directory is that of the container's "/". */
#define LAYER_MODE 0755

static void *zone_alloc(msgpack_zone *zone, size_t size)
{
    void *memory = msgpack_zone_malloc(zone, size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

static char *zone_text(msgpack_zone *zone, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(zone_alloc(zone, size), text, size);
}

/* `text` with its first ROOTFS_WORK replaced; no path needs it twice. */
static char *substitute(const char *text, const char *work, msgpack_zone *zone)
{
    const char *at = text ? strstr(text, ROOTFS_WORK) : NULL;
    if (!at || !work)
        return text_or_empty(text);
    AUTO_FREE char *whole =
        util_format("%.*s%s%s", (int)(at - text), text, work, at + strlen(ROOTFS_WORK));
    return zone_text(zone, whole);
}

static status_code_t make_layer(const char *work, const char *name, const char *option,
                                status_t *st)
{
    if (!*name || name[0] == '.' || strchr(name, '/'))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "rootfs: %.200s: only a name may follow " ROOTFS_WORK "/", option);
    AUTO_FREE char *path = util_format("%s/%s", work, name);
    if (mkdir(path, LAYER_MODE) && errno != EEXIST)
        return status_errno(st, errno, "rootfs: make %s", path);
    if (chmod(path, LAYER_MODE)) /* whatever the umask */
        return status_errno(st, errno, "rootfs: make %s", path);
    return STATUS_OK;
}

/* overlayfs makes neither of its directories. */
static status_code_t make_layers(const msg_mount_t *mount, const char *work, status_t *st)
{
    static const char *const prefixes[] = {"upperdir=" ROOTFS_WORK "/", "workdir=" ROOTFS_WORK "/"};
    for (size_t i = 0; i < mount->options.count; i++) {
        const char *option = mount->options.items[i];
        for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++) {
            size_t size = strlen(prefixes[k]);
            if (!strncmp(option, prefixes[k], size) && make_layer(work, option + size, option, st))
                return st->code;
        }
    }
    return STATUS_OK;
}

static void convert(const msg_mount_t *from, const char *work, msgpack_zone *zone,
                    Containerd__Task__V2__Mount *ret)
{
    AUTO_FREE char *escaped = work ? util_backslash(work, UTIL_OVERLAY_SPECIAL) : NULL;
    containerd__task__v2__mount__init(ret);
    ret->type = text_or_empty(from->type);
    ret->source = substitute(from->source, work, zone);
    ret->target = text_or_empty(from->target);
    ret->n_options = from->options.count;
    ret->options = zone_alloc(zone, from->options.count * sizeof *ret->options);
    for (size_t i = 0; i < from->options.count; i++)
        ret->options[i] = substitute(from->options.items[i], escaped, zone);
}

static status_code_t check_root(const msg_container_t *container, status_t *st)
{
    json_t *spec = json_loadb((const char *)container->spec.data, container->spec.size,
                              JSON_DECODE_INT_AS_REAL, NULL);
    const char *path = json_string_value(json_object_get(json_object_get(spec, "root"), "path"));
    status_clear(st);
    if (!path || strcmp(path, "rootfs"))
        status_set(st, STATUS_INVALID_ARGUMENT,
                   "container %s: its root filesystem is mounted on rootfs, but its spec's "
                   "root.path is %.200s",
                   container->id, path ? path : "absent");
    json_decref(spec);
    return st->code;
}

status_code_t rootfs_prepare(const msg_container_t *container, const msg_task_create_t *ask,
                             const char *work, msgpack_zone *zone, rootfs_t *ret, status_t *st)
{
    bool own = ask->rootfs.count > 0;
    const msg_mount_t *mounts = own ? ask->rootfs.items : container->rootfs.items;
    size_t count = own ? ask->rootfs.count : container->rootfs.count;
    status_clear(st);
    if (!own && count && check_root(container, st))
        return st->code;
    ret->mounts = zone_alloc(zone, count * sizeof *ret->mounts);
    ret->count = count;
    for (size_t i = 0; i < count; i++) {
        if (work && make_layers(&mounts[i], work, st))
            return st->code;
        ret->mounts[i] = zone_alloc(zone, sizeof *ret->mounts[i]);
        convert(&mounts[i], work, zone, ret->mounts[i]);
    }
    return STATUS_OK;
}

/* A line is "[nodev]\tNAME". True when that cannot be told. */
static bool kernel_has(const char *type)
{
    FILE *file = fopen(FILESYSTEMS, "re");
    if (!file)
        return true;
    bool has = false;
    char line[128];
    while (!has && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *tab = strchr(line, '\t');
        has = tab && !strcmp(tab + 1, type);
    }
    fclose(file);
    return has;
}

void rootfs_explain(const rootfs_t *self, status_t *st)
{
    for (size_t i = 0; i < self->count; i++) {
        const char *type = self->mounts[i]->type; /* "fuse.sshfs" is a subtype */
        if (!*type || !strcmp(type, "bind") || strchr(type, '.') || kernel_has(type))
            continue;
        status_t failure = *st;
        status_set(st, failure.code, "this kernel has no filesystem %.64s: %s", type, failure.text);
        return;
    }
}
