/* What the kernel keeps against the tasks: cgroups with their processes, and mounts. */
#include "client/doctor/compare.h"

#include <stdio.h>

/* cgroups ----------------------------------------------------------------------------------------
 */

/* "/shimd/NS/ID" of a path that ends in /shimd/NS/ID or is below that. NULL when it is not there;
 * the caller frees. */
static char *container_part(const char *path, const char *base)
{
    AUTO_FREE char *top = util_format("%s/", base);
    const char *found = strstr(path, top);
    if (!found)
        return NULL;
    const char *ns = found + strlen(top);
    const char *id = strchr(ns, '/');
    if (!id)
        return NULL;
    size_t size = (size_t)(id + 1 - found) + strcspn(id + 1, "/\n");
    return strndup(found, size);
}

static void explain(zhashx_t *explained, const char *path, const char *base)
{
    AUTO_FREE char *part = container_part(path, base);
    if (part)
        zhashx_insert(explained, part, explained);
}

static void explain_process(zhashx_t *explained, uint32_t pid, const char *base)
{
    char line[4096 + 128];
    AUTO_FREE char *path = util_format("/proc/%u/cgroup", pid);
    FILE *file = pid ? fopen(path, "re") : NULL;
    while (file && fgets(line, sizeof line, file))
        explain(explained, line, base);
    if (file)
        fclose(file);
}

static void explain_lines(zhashx_t *explained, const char *lines, const char *base)
{
    AUTO_FREE char *copy = util_strdup(lines);
    char *rest = NULL;
    for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        explain(explained, line, base);
}

/* A spec may name any cgroup below the cluster's; where it really is tell runc's state and the
 * process. */
static zhashx_t *explained_new(compare_t *self, const char *base)
{
    zhashx_t *explained = zhashx_new();
    const msg_processes_t *tasks = &self->said->tasks;
    zlistx_t *runc = self->machine->rows[SEEN_RUNC], *bundles = self->machine->rows[SEEN_BUNDLE];
    for (const seen_t *row = zlistx_first(runc); row; row = zlistx_next(runc))
        if (compare_is_owned(self, row->ns, row->id))
            explain_lines(explained, row->note, base);
    for (size_t i = 0; self->said->has[SAID_TASKS] && i < tasks->tasks.count; i++)
        explain_process(explained, tasks->tasks.items[i].pid, base);
    for (const seen_t *row = zlistx_first(bundles); row; row = zlistx_next(bundles))
        if (compare_is_owned(self, row->ns, row->id))
            explain_process(explained, row->bundle->init_pid, base);
    return explained;
}

static void compare_cgroups(compare_t *self)
{
    AUTO_FREE char *base = cluster_cgroup(self->machine->cluster);
    zhashx_t *explained = explained_new(self, base);
    zlistx_t *rows = self->machine->rows[SEEN_CGROUP];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        if (compare_is_owned(self, row->ns, row->id) || zhashx_lookup(explained, row->path))
            continue;
        if (row->pid)
            compare_add(self, FINDING_STRAY_PROCESS, row,
                        "process %d, and maybe others, are in a cgroup of no task", (int)row->pid);
        else
            compare_add(self, FINDING_STRAY_CGROUP, row, "an empty cgroup of no task");
    }
    zhashx_destroy(&explained);
}

/* mounts -----------------------------------------------------------------------------------------
 */

static bool has_path(zlistx_t *rows, const char *point)
{
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        size_t size = strlen(row->path);
        if (!strncmp(point, row->path, size) && (point[size] == '/' || !point[size]))
            return true;
    }
    return false;
}

/* What is mounted in a bundle or work directory goes with it, and in what is hidden or set aside.
 */
static void compare_mounts(compare_t *self)
{
    static const seen_kind_t holders[] = {SEEN_BUNDLE, SEEN_WORK, SEEN_HIDDEN, SEEN_QUARANTINED};
    zlistx_t *rows = self->machine->rows[SEEN_MOUNT];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        bool is_held = !row->id[0] || compare_is_owned(self, row->ns, row->id);
        for (size_t i = 0; !is_held && i < ARRAY_SIZE(holders); i++)
            is_held = has_path(self->machine->rows[holders[i]], row->path);
        if (!is_held)
            compare_add(self, FINDING_STRAY_MOUNT, row, "something is mounted there for no task");
    }
}

void compare_kernel(compare_t *self)
{
    if (!self->knows_owners)
        return;
    compare_cgroups(self);
    compare_mounts(self);
}
