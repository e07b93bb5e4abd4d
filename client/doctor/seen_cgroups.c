/* The cgroups below the cluster's own: NS/ID, in whichever hierarchies. */
#include "client/doctor/seen.h"

#include "common/cgroup_tree.h"
#include "common/proc.h"

#include <dirent.h>

#define DEPTH_MAX 16 /* of cgroups inside a container's own */

static pid_t process_in(const char *dir)
{
    int pid = 0;
    AUTO_FREE char *path = util_format("%s/cgroup.procs", dir);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return (pid_t)pid;
}

static pid_t process_below(const char *dir, int depth)
{
    pid_t pid = process_in(dir);
    DIR *stream = pid || depth == 0 ? NULL : opendir(dir);
    for (struct dirent *entry; stream && !pid && (entry = readdir(stream));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *below = util_format("%s/%s", dir, entry->d_name);
        pid = process_below(below, depth - 1);
    }
    if (stream)
        closedir(stream);
    return pid;
}

pid_t seen_cgroup_process(const char *dir)
{
    return process_below(dir, DEPTH_MAX);
}

typedef struct walk {
    machine_t *machine;
    const char *base; /* "/shimd" */
    zhashx_t *known;  /* seen_t by path */
} walk_t;

static void add(walk_t *walk, const char *ns, const char *id, const char *dir)
{
    AUTO_FREE char *path = util_format("%s/%s/%s", walk->base, ns, id);
    seen_t *row = zhashx_lookup(walk->known, path);
    if (!row) {
        row = machine_add(walk->machine, SEEN_CGROUP, ns, id, util_strdup(path));
        zhashx_insert(walk->known, row->path, row);
    }
    if (row->pid)
        return;
    row->pid = seen_cgroup_process(dir);
    row->start = row->pid ? proc_start_time(row->pid) : 0;
}

static void look_at_ns(walk_t *walk, const char *ns, const char *dir)
{
    DIR *stream = opendir(dir);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = util_format("%s/%s", dir, entry->d_name);
        add(walk, ns, entry->d_name, path);
    }
    if (stream)
        closedir(stream);
}

static void look_at_hierarchy(void *arg, const char *mount_point)
{
    walk_t *walk = arg;
    AUTO_FREE char *dir = util_format("%s%s", mount_point, walk->base);
    DIR *stream = opendir(dir);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = util_format("%s/%s", dir, entry->d_name);
        look_at_ns(walk, entry->d_name, path);
    }
    if (stream)
        closedir(stream);
}

void seen_cgroups(machine_t *self)
{
    AUTO_FREE char *base = cluster_cgroup(self->cluster);
    walk_t walk = {.machine = self, .base = base, .known = zhashx_new()};
    cgroup_each_hierarchy(look_at_hierarchy, &walk);
    zhashx_destroy(&walk.known);
}
