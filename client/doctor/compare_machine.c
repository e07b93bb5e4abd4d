/* What is on the machine against the tasks: directories and shims. */
#include "client/doctor/compare.h"

#include <dirent.h>
#include <sys/stat.h>

static void compare_shims(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_SHIM];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        char pid[16];
        snprintf(pid, sizeof pid, "%d", (int)row->pid);
        bool is_known = zhashx_lookup(self->shims, pid) ||
                        compare_is_owned(self, row->ns, row->id) ||
                        machine_bundle(self->machine, row->ns, row->id);
        if (!is_known)
            compare_add(self, FINDING_LEAKED_SHIM, row,
                        "a shim of %s/%s runs that belongs to no task", row->ns, row->id);
    }
}

/* directories ------------------------------------------------------------------------------------
 */

/* While all is down every bundle waits for the next shimd. */
static void compare_bundles(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_BUNDLE];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        if (!compare_is_owned(self, row->ns, row->id))
            compare_add(self, FINDING_STALE_BUNDLE, row, "the shim worker has no task of it");
}

static void compare_works(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_WORK];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        if (!compare_is_owned(self, row->ns, row->id) &&
            !machine_bundle(self->machine, row->ns, row->id))
            compare_add(self, FINDING_STRAY_WORK, row, "a work directory without a bundle");
}

/* A bundle and its work directory are hidden under the same name. */
static bool is_debt(compare_t *self, const char *path)
{
    const char *name = strrchr(path, '/');
    for (const finding_t *f = findings_first(self->findings); f; f = findings_next(self->findings))
        if (f->kind == FINDING_DEBT && !strcmp(strrchr(f->object, '/'), name))
            return true;
    return false;
}

static void compare_hidden(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_HIDDEN];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        if (!is_debt(self, row->path))
            compare_add(self, FINDING_HALF_REMOVED, row, "left of %s/%s, and nobody is removing it",
                        row->ns, row->id);
    rows = self->machine->rows[SEEN_FOREIGN];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        compare_add(self, FINDING_STRAY_FILE, row, "no bundle or work directory has such a name");
}

static void compare_quarantined(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_QUARANTINED];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        compare_add(self, FINDING_QUARANTINED, row, "set aside: %s",
                    row->note ? row->note : "the reason is lost");
}

static void compare_runc(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_RUNC];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        if (!compare_is_owned(self, row->ns, row->id))
            compare_add(self, FINDING_STRAY_RUNC, row, "runc has a container %s of no task",
                        row->id);
}

/* fifos ------------------------------------------------------------------------------------------
 */

static bool is_inside(const char *path, const char *dir)
{
    return path && !strncmp(path, dir, strlen(dir)) && path[strlen(dir)] == '/';
}

static bool is_stdio(const said_t *said, const char *dir)
{
    for (size_t i = 0; i < said->tasks.tasks.count; i++) {
        const msg_process_t *task = &said->tasks.tasks.items[i];
        if (is_inside(task->stdin, dir) || is_inside(task->stdout, dir) ||
            is_inside(task->stderr, dir))
            return true;
    }
    return false;
}

/* A fifo is called NAME-stdin or the like, after its container or its exec. */
static bool has_namesake(compare_t *self, const char *name)
{
    AUTO_FREE char *exec = util_format("exec-%s.json", name);
    zlistx_t *rows = self->machine->rows[SEEN_BUNDLE];
    struct stat info;
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        AUTO_FREE char *record = util_format("%s/%s", row->path, exec);
        if (!lstat(record, &info) || (self->asker->is_down && !strcmp(row->id, name)))
            return true;
    }
    return false;
}

static bool is_used(compare_t *self, const char *dir)
{
    bool found = false;
    DIR *stream = opendir(dir);
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        AUTO_FREE char *name = util_strdup(entry->d_name);
        char *end = strrchr(name, '-');
        if (end)
            *end = '\0';
        found = end && has_namesake(self, name);
    }
    if (stream)
        closedir(stream);
    return found;
}

static void compare_fifos(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_FIFO];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        bool is_named = self->said->has[SAID_TASKS] && is_stdio(self->said, row->path);
        if (!is_named && !is_used(self, row->path) && !seen_is_held(row->path))
            compare_add(self, FINDING_STRAY_FIFO, row,
                        "no task has these fifos, and no process holds them");
    }
}

void compare_machine(compare_t *self)
{
    compare_quarantined(self);
    if (!self->knows_owners)
        return;
    compare_hidden(self);
    compare_shims(self);
    compare_bundles(self);
    compare_works(self);
    compare_runc(self);
    compare_fifos(self);
}
