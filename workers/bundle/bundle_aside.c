/* Setting a damaged bundle aside. */
#include "workers/bundle/bundle_aside.h"

#include "common/log.h"
#include "workers/bundle/bundle_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define WHY_MODE       0600
#define DIR_MODE       0700 /* nobody passes through what is damaged */
#define NAME_MAX_BYTES 220  /* leaves room for the time and ".why" within NAME_MAX */

static bool is_plain_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= NAME_MAX_BYTES && name[0] != '.' && !strchr(name, '/');
}

/* BASE/quarantine/NS, made when it is not there; -1 with errno. */
static int open_aside(int base, const char *ns)
{
    AUTO_CLOSE int fd = bundle_dir_make(base, BUNDLE_STORE_QUARANTINE, DIR_MODE, NULL);
    return fd < 0 ? -1 : bundle_dir_make(fd, ns, DIR_MODE, NULL);
}

/* The reason is there first: without it nobody could tell what the moved directory is. */
static status_code_t move_bundle(int from, int to, const char *name, const char *aside,
                                 const char *why, status_t *st)
{
    AUTO_FREE char *reason = util_format("%s" BUNDLE_STORE_WHY, aside);
    if (bundle_dir_write(to, reason, WHY_MODE, why, strlen(why))) {
        status_errno(st, errno, "write %s", reason);
    } else if (renameat2(from, name, to, aside, RENAME_NOREPLACE) == 0) {
        status_clear(st);
        return STATUS_OK;
    } else if (errno == ENOENT) {
        status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", name);
    } else {
        status_errno(st, errno, "move it");
    }
    unlinkat(to, reason, 0);
    return st->code;
}

/* The bundle is aside already, so what fails here is only worth a line: a work directory without a
 * bundle is what bundle_sweep looks for. */
static void move_work(const bundle_store_t *store, const char *ns, const char *name,
                      const char *aside)
{
    AUTO_CLOSE int from = bundle_store_open_root(store, ns);
    if (from < 0 || !bundle_dir_has(from, name))
        return;
    AUTO_CLOSE int to = open_aside(bundle_store_root_fd(store), ns);
    if (to < 0 || renameat2(from, name, to, aside, RENAME_NOREPLACE))
        log_warn("quarantine %s/%s: move its work directory: %s", ns, name, strerror(errno));
}

status_code_t bundle_aside_run(const bundle_store_t *store, const char *ns, const char *name,
                               const char *why, status_t *st)
{
    if (bundle_store_check(ns, ns, st))
        return st->code;
    if (!is_plain_name(name))
        return status_set(st, STATUS_INVALID_ARGUMENT, "bundle name %.64s: not a plain name", name);
    AUTO_CLOSE int from = bundle_store_open_run(store, ns);
    if (from < 0 ? errno == ENOENT : !bundle_dir_has(from, name))
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", name);
    AUTO_CLOSE int to = from < 0 ? -1 : open_aside(bundle_store_run_fd(store), ns);
    if (to < 0)
        return status_errno(st, errno, "quarantine bundle %s: make the directory", name);
    AUTO_FREE char *aside = util_format("%s.%lld", name, (long long)util_now_ms());
    if (move_bundle(from, to, name, aside, why, st))
        return st->code == STATUS_NOT_FOUND ? st->code
                                            : status_wrap(st, "quarantine bundle %s", name);
    move_work(store, ns, name, aside);
    return STATUS_OK;
}
