/* Deleting a bundle: unmounted first, out of sight second, removed last. */
#include "workers/bundle/bundle_remove.h"

#include "workers/bundle/bundle_dir.h"
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

/* RUN/task/NS into `run`, checked; ROOT/task/NS into `root`, -1 when there is none. */
static status_code_t open_checked(const bundle_store_t *store, const char *ns, const char *id,
                                  const char *incarnation, int *run, int *root, status_t *st)
{
    if (bundle_store_check(ns, id, st))
        return st->code;
    *run = bundle_store_open_run(store, ns);
    if (*run < 0 && errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", id);
    if (*run < 0)
        return status_errno(st, errno, "open the bundles of namespace %s", ns);
    *root = bundle_store_open_root(store, ns);
    if (*root < 0 && errno != ENOENT)
        return status_errno(st, errno, "open the work directories of namespace %s", ns);
    return check_at(*run, id, incarnation, st);
}

status_code_t bundle_remove_check(const bundle_store_t *store, const char *ns, const char *id,
                                  const char *incarnation, status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    return open_checked(store, ns, id, incarnation, &run, &root, st);
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

bool bundle_remove_is_quick(const bundle_store_t *store, const char *ns, const char *id)
{
    AUTO_CLOSE int run = bundle_store_open_run(store, ns);
    AUTO_CLOSE int root = bundle_store_open_root(store, ns);
    if (run < 0 || bundle_mounts_any(run, id))
        return false;
    if (root >= 0 && (bundle_mounts_any(root, id) || !is_bare(root, id)))
        return false;
    AUTO_CLOSE int bundle = bundle_dir_open_inside(run, id, O_RDONLY | O_DIRECTORY);
    return bundle >= 0 && is_flat(bundle);
}

static status_code_t remove_hidden(int parent, const char *hidden, status_t *st)
{
    if (!hidden[0] || bundle_tree_remove(parent, hidden, st) == STATUS_OK)
        return STATUS_OK;
    status_wrap(st, "%s", hidden);
    st->code = STATUS_ABORTED;
    return st->code;
}

/* Both names are hidden before anything is removed: the id must be free at once, and what a crash
 * leaves must not look like a bundle. */
static status_code_t hide_and_remove(int run, int root, const char *id, status_t *st)
{
    char bundle[BUNDLE_DIR_NAME_SIZE] = "", work[BUNDLE_DIR_NAME_SIZE] = "";
    if (bundle_dir_hide(run, id, id, bundle)) {
        if (errno == ENOENT)
            return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", id);
        return status_errno(st, errno, "set it aside");
    }
    status_t work_st = {0};
    if (root >= 0 && bundle_dir_hide(root, id, id, work) && errno != ENOENT) {
        status_errno(&work_st, errno, "set its work directory aside");
        work_st.code = STATUS_ABORTED;
    }
    remove_hidden(root, work, &work_st);
    if (remove_hidden(run, bundle, st) == STATUS_OK)
        *st = work_st;
    return st->code;
}

status_code_t bundle_remove_quickly(const bundle_store_t *store, const char *ns, const char *id,
                                    const char *incarnation, status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    if (open_checked(store, ns, id, incarnation, &run, &root, st))
        return st->code;
    if (hide_and_remove(run, root, id, st) && st->code != STATUS_NOT_FOUND)
        return status_wrap(st, "delete bundle %s", id);
    return st->code;
}

status_code_t bundle_remove_run(const bundle_store_t *store, const char *ns, const char *id,
                                const char *incarnation, status_t *st)
{
    AUTO_CLOSE int run = -1;
    AUTO_CLOSE int root = -1;
    if (open_checked(store, ns, id, incarnation, &run, &root, st))
        return st->code;
    if (bundle_mounts_unmount(run, id, st) || (root >= 0 && bundle_mounts_unmount(root, id, st)) ||
        hide_and_remove(run, root, id, st))
        return st->code == STATUS_NOT_FOUND ? st->code : status_wrap(st, "delete bundle %s", id);
    return STATUS_OK;
}
