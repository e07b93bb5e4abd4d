/* Finding what creates and deletes left when they were cut short. */
#include "workers/bundle/bundle_sweep.h"

#include "common/log.h"
#include "workers/bundle/bundle_dir.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

typedef struct sweep {
    const bundle_store_t *store;
    bundle_sweep_found_t *found;
    void *arg;
} sweep_t;

static void hide(sweep_t *sweep, int fd, const char *ns, const char *name, const char *id)
{
    char hidden[BUNDLE_DIR_NAME_SIZE];
    bundle_dir_fresh_name(hidden, id);
    if (bundle_dir_hide(fd, name, hidden) == 0)
        sweep->found(sweep->arg, ns, hidden);
    else if (errno != ENOENT)
        log_warn("sweep: hide %s/%s: %s", ns, name, strerror(errno));
}

/* Calls `each` for all entries that were there at the beginning: it renames, and a directory that
 * changes while it is read may show an entry twice or not at all. */
typedef void each_name_t(sweep_t *sweep, int fd, const char *ns, const char *name);

static status_code_t each_name(sweep_t *sweep, int fd, const char *ns, each_name_t *each,
                               status_t *st)
{
    zlistx_t *names = zlistx_new();
    zlistx_set_duplicator(names, (zlistx_duplicator_fn *)util_strdup);
    zlistx_set_destructor(names, (zlistx_destructor_fn *)zstr_free);
    DIR *stream = bundle_dir_list(fd);
    if (!stream) {
        zlistx_destroy(&names);
        return status_errno(st, errno, "list namespace %s", ns);
    }
    for (struct dirent *entry; (entry = bundle_dir_next(stream));)
        zlistx_add_end(names, entry->d_name);
    closedir(stream);
    for (const char *name = zlistx_first(names); name; name = zlistx_next(names))
        each(sweep, fd, ns, name);
    zlistx_destroy(&names);
    return STATUS_OK;
}

static void look_at_bundle(sweep_t *sweep, int fd, const char *ns, const char *name)
{
    char id[BUNDLE_DIR_NAME_SIZE];
    if (bundle_dir_is_hidden(name, BUNDLE_DIR_DEL)) {
        sweep->found(sweep->arg, ns, name);
    } else if (bundle_dir_is_hidden(name, BUNDLE_DIR_NEW)) {
        bundle_dir_hidden_id(name, id);
        hide(sweep, fd, ns, name, id);
    }
}

static void look_at_work(sweep_t *sweep, int fd, const char *ns, const char *name)
{
    if (bundle_dir_is_hidden(name, BUNDLE_DIR_DEL)) {
        sweep->found(sweep->arg, ns, name);
        return;
    }
    AUTO_CLOSE int run = bundle_store_open_run(sweep->store, ns);
    bool is_orphan = run < 0 ? errno == ENOENT : !bundle_dir_has(run, name);
    if (is_orphan && msg_is_identifier(name, strlen(name)))
        hide(sweep, fd, ns, name, name);
}

static status_code_t look_at_run_ns(void *arg, int fd, const char *ns, status_t *st)
{
    return each_name(arg, fd, ns, look_at_bundle, st);
}

static status_code_t look_at_root_ns(void *arg, int fd, const char *ns, status_t *st)
{
    return each_name(arg, fd, ns, look_at_work, st);
}

/* rmdir refuses what is not empty, which is all the check there needs to be. */
static void remove_if_empty(int base, const char *ns)
{
    AUTO_CLOSE int fd = bundle_dir_open(base, BUNDLE_STORE_TASK);
    if (fd >= 0)
        unlinkat(fd, ns, AT_REMOVEDIR);
}

static status_code_t drop_run_ns(void *arg, int fd, const char *ns, status_t *st)
{
    (void)fd;
    (void)st;
    remove_if_empty(bundle_store_run_fd(arg), ns);
    return STATUS_OK;
}

static status_code_t drop_root_ns(void *arg, int fd, const char *ns, status_t *st)
{
    (void)fd;
    (void)st;
    remove_if_empty(bundle_store_root_fd(arg), ns);
    return STATUS_OK;
}

status_code_t bundle_sweep_run(const bundle_store_t *store, bundle_sweep_found_t *found, void *arg,
                               status_t *st)
{
    sweep_t sweep = {.store = store, .found = found, .arg = arg};
    int run = bundle_store_run_fd(store), root = bundle_store_root_fd(store);
    const char *part = BUNDLE_STORE_TASK;
    void *self = (void *)(uintptr_t)store;
    if (bundle_store_each_ns(run, part, look_at_run_ns, &sweep, st) ||
        bundle_store_each_ns(root, part, look_at_root_ns, &sweep, st) ||
        bundle_store_each_ns(run, part, drop_run_ns, self, st) ||
        bundle_store_each_ns(root, part, drop_root_ns, self, st))
        return status_wrap(st, "sweep");
    return STATUS_OK;
}
