/* Directories, mounts, fifos and sockets that belong to nobody. Removing never leaves the tree: no
 * symlink is followed, no mount is crossed, and what cannot be unmounted stays. */
#include "client/doctor/repair.h"

#include "client/doctor/compare.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_mounts.h"
#include "workers/bundle/bundle_store.h"
#include "workers/bundle/bundle_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* The directory that holds `path`; `name` points to its last part. -1 with errno. */
static int open_parent(const char *path, const char **name)
{
    size_t size = (size_t)(strrchr(path, '/') - path);
    AUTO_FREE char *parent = util_format("%.*s", (int)size, path);
    *name = path + size + 1;
    return open(parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static status_code_t remove_path(const char *path, status_t *st)
{
    const char *name;
    AUTO_CLOSE int parent = open_parent(path, &name);
    status_clear(st);
    if (parent < 0 && errno == ENOENT)
        return STATUS_OK;
    if (parent < 0)
        return status_errno(st, errno, "open the directory of %s", path);
    if (bundle_mounts_unmount(parent, name, st) || bundle_tree_remove(parent, name, st))
        return st->code;
    return STATUS_OK;
}

static void set_result(finding_t *finding, const status_t *st)
{
    if (st->code)
        finding_set(finding, FINDING_LEFT, "%s", st->text);
    else
        finding_set(finding, FINDING_MENDED, "removed");
}

/* A thing with the same name that came since is another. */
bool repair_is_same(finding_t *finding)
{
    uint64_t mark = seen_mark(finding->object);
    if (!mark || mark == finding->mark)
        return true;
    finding_set(finding, FINDING_LEFT, "it is another one now");
    return false;
}

void repair_tree(repair_t *self, finding_t *finding)
{
    status_t st;
    if (!repair_is_same(finding) || !repair_is_unowned(self, finding))
        return;
    remove_path(finding->object, &st);
    set_result(finding, &st);
}

/* A quarantined directory keeps the name of its task, which may have a successor that runs. */
void repair_quarantined(repair_t *self, finding_t *finding)
{
    status_t st;
    (void)self;
    if (!repair_is_same(finding))
        return;
    AUTO_FREE char *why = util_format("%s" BUNDLE_STORE_WHY, finding->object);
    if (!remove_path(finding->object, &st))
        (void)unlink(why); /* a reason without its directory is found next time */
    set_result(finding, &st);
}

void repair_mount(repair_t *self, finding_t *finding)
{
    const char *name;
    status_t st = {.code = STATUS_OK};
    if (!repair_is_unowned(self, finding))
        return;
    AUTO_CLOSE int parent = open_parent(finding->object, &name);
    if (parent < 0)
        status_errno(&st, errno, "open the directory of %s", finding->object);
    else
        bundle_mounts_unmount(parent, name, &st);
    if (st.code)
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else
        finding_set(finding, FINDING_MENDED, "unmounted");
}

/* A directory that is a mount point cannot be renamed, and so not be removed by the bundle worker;
 * what it hides is nobody's. */
bool repair_uncover(repair_t *self, finding_t *finding)
{
    zlistx_t *rows = self->machine->rows[SEEN_MOUNT];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        if (!strcmp(row->path, finding->object)) {
            repair_mount(self, finding);
            return finding->state == FINDING_MENDED;
        }
    return true;
}

void repair_fifo(repair_t *self, finding_t *finding)
{
    status_t st;
    if (seen_is_held(finding->object)) {
        finding_set(finding, FINDING_LEFT, "a process holds it now");
        return;
    }
    (void)self;
    if (!repair_is_same(finding))
        return;
    remove_path(finding->object, &st);
    set_result(finding, &st);
}

void repair_socket(repair_t *self, finding_t *finding)
{
    (void)self;
    if (!repair_is_same(finding))
        return;
    if (!seen_mark(finding->object))
        finding_set(finding, FINDING_MENDED, "it is gone");
    else if (!compare_is_refused(finding->object))
        finding_set(finding, FINDING_LEFT, "somebody listens now");
    else if (unlink(finding->object) && errno != ENOENT)
        finding_set(finding, FINDING_LEFT, "%s", strerror(errno));
    else
        finding_set(finding, FINDING_MENDED, "removed");
}

void repair_work(repair_t *self, finding_t *finding)
{
    const char *name;
    AUTO_FREE char *ns_dir =
        util_format("%s/" BUNDLE_STORE_TASK "/%s", self->cluster->root_dir, finding->ns);
    if (mkdir(ns_dir, BUNDLE_STORE_DIR_MODE) && errno != EEXIST) {
        finding_set(finding, FINDING_LEFT, "mkdir %s: %s", ns_dir, strerror(errno));
        return;
    }
    AUTO_CLOSE int parent = open_parent(finding->object, &name);
    AUTO_CLOSE int made =
        parent < 0 ? -1 : bundle_dir_make(parent, name, BUNDLE_STORE_DIR_MODE, NULL);
    if (made < 0)
        finding_set(finding, FINDING_LEFT, "mkdir %s: %s", finding->object, strerror(errno));
    else
        finding_set(finding, FINDING_MENDED, "made");
}
