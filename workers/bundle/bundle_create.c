/* Making a bundle: all of it or nothing. */
#include "workers/bundle/bundle_create.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAPPED_MODE      0710 /* bundle of a user namespace: its root's group may pass */
#define CONFIG_MODE      0644
#define INCARNATION_MODE 0644
#define LOG_MODE         0700
#define GID_MAX          4294967294.0 /* (gid_t)-1 means "leave it" to chown */

/* What is being made, and so far made: `undo` takes back exactly that. */
typedef struct making {
    const bundle_store_t *store;
    const char *ns, *id, *incarnation;
    const void *spec;
    size_t size;
    gid_t group;
    int run_task, root_task, run, root; /* RUN/task, ROOT/task, and the namespace's in them */
    bool made_run_task, made_root_task, made_run, made_root, made_work, made_hidden;
    char hidden[BUNDLE_DIR_NAME_SIZE]; /* in `run` */
    bool has_left_over;
} making_t;

/* Integers are read as reals: rlimits of 2^64 - 1 are common in specs, and a group fits exactly. */
status_code_t bundle_create_mapped_group(const void *spec, size_t size, gid_t *ret, status_t *st)
{
    json_error_t why;
    json_t *root = json_loadb(spec, size, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &why);
    *ret = 0;
    status_clear(st);
    if (!json_is_object(root)) {
        status_set(st, STATUS_INVALID_ARGUMENT, "spec is not a JSON object%s%s", root ? "" : ": ",
                   root ? "" : why.text);
        json_decref(root);
        return st->code;
    }
    size_t i;
    json_t *mapping;
    json_array_foreach(json_object_get(json_object_get(root, "linux"), "gidMappings"), i, mapping)
    {
        double host = json_real_value(json_object_get(mapping, "hostID"));
        if (json_real_value(json_object_get(mapping, "containerID")) != 0)
            continue;
        if (host < 0 || host > GID_MAX)
            status_set(st, STATUS_INVALID_ARGUMENT,
                       "spec: linux.gidMappings: hostID %.0f is no group", host);
        else
            *ret = (gid_t)host;
        break;
    }
    json_decref(root);
    return st->code;
}

static void undo(making_t *self)
{
    status_t st;
    if (self->made_hidden && bundle_tree_remove(self->run, self->hidden, &st))
        log_warn("undo bundle %s: %s", self->id, st.text);
    if (self->made_work && unlinkat(self->root, self->id, AT_REMOVEDIR))
        log_warn("undo bundle %s: remove its work directory: %s", self->id, strerror(errno));
    /* These fail, as they should, when others have put something in. */
    if (self->made_run)
        unlinkat(self->run_task, self->ns, AT_REMOVEDIR);
    if (self->made_root)
        unlinkat(self->root_task, self->ns, AT_REMOVEDIR);
    if (self->made_run_task)
        unlinkat(bundle_store_run_fd(self->store), BUNDLE_STORE_TASK, AT_REMOVEDIR);
    if (self->made_root_task)
        unlinkat(bundle_store_root_fd(self->store), BUNDLE_STORE_TASK, AT_REMOVEDIR);
}

static status_code_t make_parents(making_t *self, status_t *st)
{
    const mode_t mode = BUNDLE_STORE_DIR_MODE;
    self->run_task = bundle_dir_make(bundle_store_run_fd(self->store), BUNDLE_STORE_TASK, mode,
                                     &self->made_run_task);
    if (self->run_task >= 0)
        self->run = bundle_dir_make(self->run_task, self->ns, mode, &self->made_run);
    if (self->run < 0)
        return status_errno(st, errno, "make the run directory of namespace %s", self->ns);
    self->root_task = bundle_dir_make(bundle_store_root_fd(self->store), BUNDLE_STORE_TASK, mode,
                                      &self->made_root_task);
    if (self->root_task >= 0)
        self->root = bundle_dir_make(self->root_task, self->ns, mode, &self->made_root);
    if (self->root < 0)
        return status_errno(st, errno, "make the root directory of namespace %s", self->ns);
    return STATUS_OK;
}

static status_code_t make_work(making_t *self, status_t *st)
{
    bool stale = unlinkat(self->root, self->id, AT_REMOVEDIR) && errno != ENOENT;
    char hidden[BUNDLE_DIR_NAME_SIZE];
    bundle_dir_fresh_name(hidden, self->id);
    if (stale && bundle_dir_hide(self->root, self->id, hidden))
        return status_errno(st, errno, "replace the stale work directory");
    self->has_left_over = stale;
    AUTO_CLOSE int fd =
        bundle_dir_make(self->root, self->id, BUNDLE_STORE_DIR_MODE, &self->made_work);
    return fd < 0 ? status_errno(st, errno, "make the work directory") : STATUS_OK;
}

/* A fifo, because the shim's end must never be a file that grows; whoever reads it opens it. */
static int make_log(int bundle)
{
    if (mkfifoat(bundle, BUNDLE_STORE_LOG, LOG_MODE))
        return -1;
    return fchmodat(bundle, BUNDLE_STORE_LOG, LOG_MODE, 0);
}

static status_code_t fill(const making_t *self, int bundle, status_t *st)
{
    AUTO_FREE char *work = bundle_store_work_path(self->store, self->ns, self->id);
    char line[UTIL_UUID_SIZE + 1];
    snprintf(line, sizeof line, "%s\n", self->incarnation);
    AUTO_CLOSE int rootfs =
        bundle_dir_make(bundle, BUNDLE_STORE_ROOTFS, BUNDLE_STORE_DIR_MODE, NULL);
    if (rootfs < 0)
        return status_errno(st, errno, "make %s", BUNDLE_STORE_ROOTFS);
    if (symlinkat(work, bundle, BUNDLE_STORE_WORK))
        return status_errno(st, errno, "make %s", BUNDLE_STORE_WORK);
    if (make_log(bundle))
        return status_errno(st, errno, "make %s", BUNDLE_STORE_LOG);
    if (bundle_dir_write(bundle, BUNDLE_STORE_CONFIG, CONFIG_MODE, self->spec, self->size))
        return status_errno(st, errno, "write %s", BUNDLE_STORE_CONFIG);
    if (bundle_dir_write(bundle, BUNDLE_STORE_INCARNATION, INCARNATION_MODE, line, strlen(line)))
        return status_errno(st, errno, "write %s", BUNDLE_STORE_INCARNATION);
    if (self->group && (fchown(bundle, (uid_t)-1, self->group) || fchmod(bundle, MAPPED_MODE)))
        return status_errno(st, errno, "give it to group %u", self->group);
    return STATUS_OK;
}

static status_code_t make_hidden(making_t *self, status_t *st)
{
    bundle_dir_hidden_name(self->hidden, self->id, BUNDLE_DIR_NEW, self->incarnation);
    /* A predecessor that died while it made this very run may have left its part. */
    if (bundle_tree_remove(self->run, self->hidden, st))
        return st->code;
    AUTO_CLOSE int bundle =
        bundle_dir_make(self->run, self->hidden, BUNDLE_STORE_BUNDLE_MODE, &self->made_hidden);
    if (bundle < 0)
        return status_errno(st, errno, "make the directory");
    return fill(self, bundle, st);
}

static status_code_t put_in_place(making_t *self, status_t *st)
{
    if (renameat2(self->run, self->hidden, self->run, self->id, RENAME_NOREPLACE) == 0)
        return STATUS_OK;
    if (errno == EEXIST)
        return status_set(st, STATUS_ALREADY_EXISTS, "bundle %s: already exists", self->id);
    return status_errno(st, errno, "rename it into place");
}

/* A full disk is of use to nobody without its name. */
static status_code_t name_place(const making_t *self, status_t *st)
{
    AUTO_FREE char *path = self->made_work
                               ? bundle_store_path(self->store, self->ns, self->id)
                               : bundle_store_work_path(self->store, self->ns, self->id);
    return status_wrap(st, "make bundle %s", path);
}

static status_code_t make(making_t *self, status_t *st)
{
    bundle_state_t there;
    if (make_parents(self, st))
        return st->code;
    if (bundle_store_look(self->run, self->id, &there, st) == STATUS_OK) {
        if (!there.damaged && !strcasecmp(there.incarnation, self->incarnation))
            return STATUS_OK;
        return status_set(st, STATUS_ALREADY_EXISTS, "bundle %s: already exists", self->id);
    }
    if (st->code != STATUS_NOT_FOUND)
        return st->code;
    status_clear(st);
    if (make_work(self, st) || FAILPOINT(st, "create work made") || make_hidden(self, st) ||
        FAILPOINT(st, "create hidden made") || put_in_place(self, st) ||
        FAILPOINT(st, "create in place"))
        return st->code == STATUS_ALREADY_EXISTS ? st->code : name_place(self, st);
    return STATUS_OK;
}

status_code_t bundle_create_run(const bundle_store_t *store, const char *ns, const char *id,
                                const char *incarnation, const void *spec, size_t size,
                                bool *has_left_over, status_t *st)
{
    *has_left_over = false;
    making_t self = {.store = store,
                     .ns = ns,
                     .id = id,
                     .incarnation = incarnation,
                     .spec = spec,
                     .size = size,
                     .run_task = -1,
                     .root_task = -1,
                     .run = -1,
                     .root = -1};
    if (bundle_store_check(ns, id, st))
        return st->code;
    if (!bundle_dir_is_uuid(incarnation))
        return status_set(st, STATUS_INVALID_ARGUMENT, "bundle %s: incarnation is not a UUID", id);
    if (bundle_create_mapped_group(spec, size, &self.group, st))
        return status_wrap(st, "bundle %s", id);
    if (make(&self, st))
        undo(&self);
    util_close(&self.run);
    util_close(&self.root);
    util_close(&self.run_task);
    util_close(&self.root_task);
    *has_left_over = self.has_left_over;
    return st->code;
}
