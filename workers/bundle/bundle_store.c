/* Where bundles are and what is there. */
#include "workers/bundle/bundle_store.h"

#include "common/log.h"
#include "workers/bundle/bundle_dir.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct bundle_store {
    char *run_dir, *root_dir;
    int run, root; /* their descriptors */
};

static int open_base(const char *path, status_t *st)
{
    if (mkdir(path, BUNDLE_STORE_DIR_MODE) && errno != EEXIST) {
        status_errno(st, errno, "make %s", path);
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        status_errno(st, errno, "open %s", path);
    return fd;
}

bundle_store_t *bundle_store_new(const char *run_dir, const char *root_dir, status_t *st)
{
    bundle_store_t *self = zmalloc(sizeof *self);
    self->run_dir = util_strdup(run_dir);
    self->root_dir = util_strdup(root_dir);
    self->root = -1;
    self->run = open_base(run_dir, st);
    if (self->run >= 0)
        self->root = open_base(root_dir, st);
    if (self->root < 0)
        bundle_store_destroy(&self);
    return self;
}

void bundle_store_destroy(bundle_store_t **self_p)
{
    bundle_store_t *self = *self_p;
    if (!self)
        return;
    util_close(&self->run);
    util_close(&self->root);
    free(self->run_dir);
    free(self->root_dir);
    free(self);
    *self_p = NULL;
}

int bundle_store_run_fd(const bundle_store_t *self)
{
    return self->run;
}

int bundle_store_root_fd(const bundle_store_t *self)
{
    return self->root;
}

static int open_part(int base, const char *part, const char *ns)
{
    AUTO_CLOSE int fd = bundle_dir_open(base, part);
    return fd < 0 ? -1 : bundle_dir_open(fd, ns);
}

int bundle_store_open_run(const bundle_store_t *self, const char *ns)
{
    return open_part(self->run, BUNDLE_STORE_TASK, ns);
}

int bundle_store_open_root(const bundle_store_t *self, const char *ns)
{
    return open_part(self->root, BUNDLE_STORE_TASK, ns);
}

char *bundle_store_path(const bundle_store_t *self, const char *ns, const char *id)
{
    return util_format("%s/" BUNDLE_STORE_TASK "/%s/%s", self->run_dir, ns, id);
}

char *bundle_store_work_path(const bundle_store_t *self, const char *ns, const char *id)
{
    return util_format("%s/" BUNDLE_STORE_TASK "/%s/%s", self->root_dir, ns, id);
}

char *bundle_store_aside_path(const bundle_store_t *self, const char *ns, const char *name)
{
    return util_format("%s/" BUNDLE_STORE_QUARANTINE "/%s/%s", self->run_dir, ns, name);
}

status_code_t bundle_store_check(const char *ns, const char *id, status_t *st)
{
    if (!msg_is_identifier(ns, strlen(ns)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "namespace %s: not an identifier", ns);
    if (!msg_is_identifier(id, strlen(id)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "bundle %s: not an identifier", id);
    return STATUS_OK;
}

/* One bundle -------------------------------------------------------------------------------------
 */

/* Reads the incarnation into `text`, or "" when it is not whole. */
static void read_incarnation(int bundle, char text[UTIL_UUID_SIZE])
{
    char line[UTIL_UUID_SIZE + 1]; /* with its newline */
    ssize_t size = bundle_dir_read(bundle, BUNDLE_STORE_INCARNATION, line, sizeof line);
    text[0] = '\0';
    if (size != UTIL_UUID_SIZE || line[size - 1] != '\n')
        return;
    line[size - 1] = '\0';
    if (bundle_dir_is_uuid(line))
        memcpy(text, line, UTIL_UUID_SIZE);
}

/* Whoever hides a bundle takes its files from under those who look at it. */
static bool is_still_there(int run, const char *name, int bundle)
{
    struct stat seen, here;
    return !fstat(bundle, &seen) && !fstatat(run, name, &here, AT_SYMLINK_NOFOLLOW) &&
           seen.st_ino == here.st_ino && seen.st_dev == here.st_dev;
}

status_code_t bundle_store_look(int run, const char *name, bundle_state_t *ret, status_t *st)
{
    *ret = (bundle_state_t){0};
    AUTO_CLOSE int bundle = bundle_dir_open_inside(run, name, O_RDONLY | O_DIRECTORY);
    if (bundle < 0 && errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", name);
    if (bundle < 0 && (errno == ENOTDIR || errno == ELOOP))
        return status_set(st, STATUS_FAILED_PRECONDITION, "bundle %s: not a directory", name);
    if (bundle < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return status_errno(st, errno, "bundle %s: open", name);
    if (bundle < 0 && (errno == ENOSYS || errno == EPERM))
        return status_errno(st, errno, "bundle %s: openat2", name);
    status_clear(st);
    ret->damaged = true;
    if (bundle < 0)
        return STATUS_OK;
    read_incarnation(bundle, ret->incarnation);
    ret->damaged = !ret->incarnation[0] || bundle_dir_file_size(bundle, BUNDLE_STORE_CONFIG) <= 0;
    ret->empty = ret->damaged && bundle_dir_is_empty(bundle);
    if (ret->damaged && !is_still_there(run, name, bundle))
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", name);
    return STATUS_OK;
}

const char *bundle_store_keep(msgpack_zone *zone, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = msgpack_zone_malloc(zone, size);
    if (!copy)
        abort();
    return memcpy(copy, text, size);
}

void bundle_store_describe(const bundle_store_t *self, const char *ns, const char *id,
                           const bundle_state_t *state, msgpack_zone *zone, msg_bundle_t *ret)
{
    AUTO_FREE char *path = bundle_store_path(self, ns, id);
    AUTO_FREE char *work = bundle_store_work_path(self, ns, id);
    *ret = (msg_bundle_t){.ns = bundle_store_keep(zone, ns),
                          .id = bundle_store_keep(zone, id),
                          .path = bundle_store_keep(zone, path),
                          .work = bundle_store_keep(zone, work),
                          .empty = state->empty};
    if (!state->damaged)
        ret->incarnation = bundle_store_keep(zone, state->incarnation);
}

status_code_t bundle_store_find(const bundle_store_t *self, const char *ns, const char *id,
                                msgpack_zone *zone, msg_bundle_t *ret, status_t *st)
{
    if (bundle_store_check(ns, id, st))
        return st->code;
    AUTO_CLOSE int run = bundle_store_open_run(self, ns);
    if (run < 0 && errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", id);
    if (run < 0)
        return status_errno(st, errno, "open the bundles of namespace %s", ns);
    bundle_state_t state;
    if (bundle_store_look(run, id, &state, st))
        return st->code;
    bundle_store_describe(self, ns, id, &state, zone, ret);
    return STATUS_OK;
}

/* All namespaces ---------------------------------------------------------------------------------
 */

status_code_t bundle_store_each_ns(int base, const char *part, bundle_store_visit_t *visit,
                                   void *arg, status_t *st)
{
    status_clear(st);
    AUTO_CLOSE int fd = bundle_dir_open(base, part);
    if (fd < 0)
        return errno == ENOENT ? STATUS_OK : status_errno(st, errno, "open %s", part);
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return status_errno(st, errno, "list %s", part);
    for (struct dirent *entry; !st->code && (entry = bundle_dir_next(stream));) {
        const char *ns = entry->d_name;
        if (!msg_is_identifier(ns, strlen(ns)))
            continue;
        AUTO_CLOSE int dir = bundle_dir_open(fd, ns);
        if (dir >= 0)
            visit(arg, dir, ns, st);
        else if (errno != ENOTDIR && errno != ENOENT)
            log_warn("open %s/%s: %s", part, ns, strerror(errno));
    }
    closedir(stream);
    return st->code;
}
