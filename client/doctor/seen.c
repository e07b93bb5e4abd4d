/* What the doctor sees on the machine: the rows and who fills them. */
#include "client/doctor/seen.h"

#include <stdio.h>
#include <sys/stat.h>

static void seen_free(void **item)
{
    seen_t *row = *item;
    free(row->path);
    free(row->note);
    free(row->bundle);
    free(row);
    *item = NULL;
}

const char *seen_key(const char *ns, const char *id, char key[SEEN_KEY_SIZE])
{
    snprintf(key, SEEN_KEY_SIZE, "%s/%s", ns, id);
    return key;
}

uint64_t seen_mark(const char *path)
{
    struct stat info;
    if (lstat(path, &info))
        return 0;
    return (uint64_t)info.st_ino * 1000003 + (uint64_t)info.st_dev;
}

seen_t *machine_add(machine_t *self, seen_kind_t kind, const char *ns, const char *id, char *path)
{
    seen_t *row = zmalloc(sizeof *row);
    row->kind = kind;
    snprintf(row->ns, sizeof row->ns, "%s", ns);
    snprintf(row->id, sizeof row->id, "%s", id);
    row->path = path;
    zlistx_add_end(self->rows[kind], row);
    return row;
}

const seen_t *machine_bundle(const machine_t *self, const char *ns, const char *id)
{
    char key[SEEN_KEY_SIZE];
    return zhashx_lookup(self->bundles, seen_key(ns, id, key));
}

machine_t *machine_look(const cluster_t *cluster)
{
    machine_t *self = zmalloc(sizeof *self);
    self->cluster = cluster;
    self->bundles = zhashx_new();
    for (int i = 0; i < SEEN_KINDS; i++) {
        self->rows[i] = zlistx_new();
        zlistx_set_destructor(self->rows[i], seen_free);
    }
    /* Processes first: a shim that is seen and then shut down must not miss its bundle below. */
    seen_processes(self);
    seen_cgroups(self);
    seen_mounts(self);
    seen_sockets(self);
    seen_directories(self);
    char key[SEEN_KEY_SIZE];
    zlistx_t *bundles = self->rows[SEEN_BUNDLE];
    for (seen_t *row = zlistx_first(bundles); row; row = zlistx_next(bundles))
        zhashx_insert(self->bundles, seen_key(row->ns, row->id, key), row);
    return self;
}

void machine_destroy(machine_t **self_p)
{
    machine_t *self = *self_p;
    if (!self)
        return;
    for (int i = 0; i < SEEN_KINDS; i++)
        zlistx_destroy(&self->rows[i]);
    zhashx_destroy(&self->bundles);
    free(self);
    *self_p = NULL;
}
