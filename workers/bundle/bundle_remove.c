/* Deleting a bundle: out of sight first, unmounted and removed after. */
#include "workers/bundle/bundle_remove.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "workers/bundle/bundle_mounts.h"
#include "workers/bundle/bundle_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

static status_code_t check_at(int run, const char *id, const char *incarnation, status_t *st)
{
    bundle_state_t state;
    if (bundle_store_look(run, id, &state, st))
        return st->code;
    if (incarnation && !state.incarnation[0])
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "bundle %s: damaged, its incarnation is not known", id);
    if (incarnation && strcasecmp(incarnation, state.incarnation))
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: none of incarnation %.64s", id,
                          incarnation);
    return STATUS_OK;
}

/* RUN/task/NS and ROOT/task/NS, each -1 when it is not there. */
static status_code_t open_both(const bundle_store_t *store, const char *ns, int *run, int *root,
                               status_t *st)
{
    *run = bundle_store_open_run(store, ns);
    if (*run < 0 && errno != ENOENT)
        return status_errno(st, errno, "open the bundles of namespace %s", ns);
    *root = bundle_store_open_root(store, ns);
    if (*root < 0 && errno != ENOENT)
        return status_errno(st, errno, "open the work directories of namespace %s", ns);
    return STATUS_OK;
}

/* As open_both, after checking that the bundle is there and of this run. */
static status_code_t open_checked(const bundle_store_t *store, const char *ns, const char *id,
                                  const char *incarnation, int *run, int *root, status_t *st)
{
    if (bundle_store_check(ns, id, st))
        return st->code;
    if (open_both(store, ns, run, root, st))
        return st->code;
    if (*run < 0)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", id);
    return check_at(*run, id, incarnation, st);
}

static status_code_t hide_failed(const char *id, const char *what, bool *is_mount_point,
                                 status_t *st)
{
    if (errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", id);
    *is_mount_point = errno == EBUSY;
    if (*is_mount_point)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "delete bundle %s: something is mounted on its %s itself", id, what);
    return status_errno(st, errno, "delete bundle %s: hide its %s", id, what);
}

static status_code_t hide_work(int root, const char *id, const char *hidden, bool *is_mount_point,
                               status_t *st)
{
    if (FAILPOINT(st, "delete half hidden") || root < 0)
        return st->code;
    if (bundle_dir_hide(root, id, hidden) == 0 || errno == ENOENT)
        return STATUS_OK;
    return hide_failed(id, "work directory", is_mount_point, st);
}

/* Either both are hidden or none: a work directory that stays in its place would be in the way of
 * the id's next bundle. */
status_code_t bundle_remove_hide(const bundle_store_t *store, const char *ns, const char *id,
                                 const char *incarnation, char hidden[BUNDLE_DIR_NAME_SIZE],
                                 bool *is_mount_point, status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    *is_mount_point = false;
    if (open_checked(store, ns, id, incarnation, &run, &root, st) || FAILPOINT(st, "delete begin"))
        return st->code;
    bundle_dir_fresh_name(hidden, id);
    if (bundle_dir_hide(run, id, hidden))
        return hide_failed(id, "directory", is_mount_point, st);
    if (hide_work(root, id, hidden, is_mount_point, st) == STATUS_OK)
        return STATUS_OK;
    if (renameat2(run, hidden, run, id, RENAME_NOREPLACE))
        log_warn("%s; put the bundle back: %s", st->text, strerror(errno));
    return st->code;
}

status_code_t bundle_remove_unmount(const bundle_store_t *store, const char *ns, const char *id,
                                    const char *incarnation, status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    if (open_checked(store, ns, id, incarnation, &run, &root, st))
        return st->code;
    if (bundle_mounts_unmount(run, id, st) || (root >= 0 && bundle_mounts_unmount(root, id, st)))
        return status_wrap(st, "delete bundle %s", id);
    return STATUS_OK;
}

/* True when `name` is an empty directory or not there. */
static bool is_bare(int parent, const char *name)
{
    AUTO_CLOSE int fd = bundle_dir_open_inside(parent, name, O_RDONLY | O_DIRECTORY);
    return fd < 0 ? errno == ENOENT : bundle_dir_is_empty(fd);
}

/* No more than BUNDLE_REMOVE_QUICK_ENTRIES entries, none of them a directory but an empty rootfs.
 */
static bool is_flat(int bundle)
{
    DIR *stream = bundle_dir_list(bundle);
    if (!stream)
        return false;
    bool flat = true;
    int count = 0;
    for (struct dirent *entry; flat && (entry = bundle_dir_next(stream));) {
        bool is_rootfs = !strcmp(entry->d_name, BUNDLE_STORE_ROOTFS);
        bool is_plain = entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN;
        flat = ++count <= BUNDLE_REMOVE_QUICK_ENTRIES &&
               (is_plain || (is_rootfs && is_bare(bundle, entry->d_name)));
    }
    closedir(stream);
    return flat;
}

/* Whether `name` is small and flat, or not there. */
static bool is_flat_at(int parent, const char *name)
{
    AUTO_CLOSE int fd = bundle_dir_open_inside(parent, name, O_RDONLY | O_DIRECTORY);
    return fd < 0 ? errno == ENOENT : is_flat(fd);
}

bool bundle_remove_is_quick(const bundle_store_t *store, const char *ns, const char *hidden)
{
    AUTO_CLOSE int run = bundle_store_open_run(store, ns);
    if (run < 0 ? errno != ENOENT : bundle_mounts_any(run, hidden) || !is_flat_at(run, hidden))
        return false;
    AUTO_CLOSE int root = bundle_store_open_root(store, ns);
    return root < 0 ? errno == ENOENT : !bundle_mounts_any(root, hidden) && is_bare(root, hidden);
}

/* Of two trees the second is tried, whatever becomes of the first; what is said is of the first
 * failure. */
static status_code_t remove_both(int run, int root, const char *hidden, status_t *st)
{
    status_t of_work = {0};
    status_clear(st);
    if (root >= 0)
        bundle_tree_remove(root, hidden, &of_work);
    if (FAILPOINT(st, "delete work removed"))
        return st->code;
    if (run < 0 || bundle_tree_remove(run, hidden, st) == STATUS_OK)
        *st = of_work;
    FAILPOINT(st, "delete removed");
    return st->code;
}

status_code_t bundle_remove_quickly(const bundle_store_t *store, const char *ns, const char *hidden,
                                    status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    if (open_both(store, ns, &run, &root, st))
        return st->code;
    return remove_both(run, root, hidden, st);
}

/* All is unmounted before anything is removed: a busy root filesystem may have its layers in the
 * work directory. */
status_code_t bundle_remove_hidden(const bundle_store_t *store, const char *ns, const char *hidden,
                                   status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    if (open_both(store, ns, &run, &root, st) || FAILPOINT(st, "delete unmount") ||
        (run >= 0 && bundle_mounts_unmount(run, hidden, st)) ||
        (root >= 0 && bundle_mounts_unmount(root, hidden, st)) || FAILPOINT(st, "delete unmounted"))
        return st->code;
    return remove_both(run, root, hidden, st);
}
