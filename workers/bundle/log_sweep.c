/* Removing logs whose container record is gone. */
#include "workers/bundle/log_sweep.h"

#include "logger/log_dir.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define JOB_KEY  "/logs" /* no bundle's key */
#define LIMIT_MS 600000  /* of removing one container's logs */

typedef struct subject {
    char *ns, *id;
} subject_t;

typedef struct sweep {
    link_t *link;
    bundle_jobs_t *jobs;
    const bundle_store_t *store;
    zlistx_t *subjects; /* to be looked at; the first one is being looked at */
    zlistx_t *dirs;     /* its logs, as they were before its record was asked for */
    log_sweep_done_t *done;
    void *arg;
    status_t first; /* first failure */
} sweep_t;

static void advance(sweep_t *self);

/* Subjects ----------------------------------------------------------------------------------------
 */

static void subject_destroy(subject_t **self_p)
{
    free((*self_p)->ns);
    free((*self_p)->id);
    free(*self_p);
    *self_p = NULL;
}

static void add_subject(sweep_t *self, const char *ns, const char *id)
{
    subject_t *subject = zmalloc(sizeof *subject);
    *subject = (subject_t){.ns = util_strdup(ns), .id = util_strdup(id)};
    zlistx_add_end(self->subjects, subject);
}

static status_code_t add_ns(void *arg, int fd, const char *ns, status_t *st)
{
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return status_errno(st, errno, "list the logs of namespace %s", ns);
    for (struct dirent *entry; (entry = bundle_dir_next(stream));)
        if (msg_is_identifier(entry->d_name, strlen(entry->d_name)))
            add_subject(arg, ns, entry->d_name);
    closedir(stream);
    return STATUS_OK;
}

static int open_ns(const sweep_t *self, const char *ns)
{
    AUTO_CLOSE int logs = bundle_dir_open(bundle_store_root_fd(self->store), LOG_DIR_ROOT);
    return logs < 0 ? -1 : bundle_dir_open(logs, ns);
}

/* False when the subject has no logs. */
static bool list_dirs(sweep_t *self, const subject_t *subject)
{
    zlistx_purge(self->dirs);
    AUTO_CLOSE int ns = open_ns(self, subject->ns);
    AUTO_CLOSE int fd = ns < 0 ? -1 : bundle_dir_open(ns, subject->id);
    DIR *stream = fd < 0 ? NULL : bundle_dir_list(fd);
    if (!stream)
        return false;
    for (struct dirent *entry; (entry = bundle_dir_next(stream));)
        zlistx_add_end(self->dirs, entry->d_name);
    closedir(stream);
    return true;
}

/* Removing ----------------------------------------------------------------------------------------
 */

/* In a child. What is left when it is killed is found by the next sweep. */
static status_code_t remove_dirs(void *arg, status_t *st)
{
    sweep_t *self = arg;
    const subject_t *subject = zlistx_first(self->subjects);
    status_clear(st);
    AUTO_CLOSE int ns = open_ns(self, subject->ns);
    AUTO_CLOSE int fd = ns < 0 ? -1 : bundle_dir_open(ns, subject->id);
    if (fd < 0)
        return STATUS_OK;
    for (const char *name = zlistx_first(self->dirs); name && !st->code;
         name = zlistx_next(self->dirs))
        bundle_tree_remove(fd, name, st);
    /* rmdir refuses what is not empty, which is all the check there needs to be. */
    (void)unlinkat(ns, subject->id, AT_REMOVEDIR);
    AUTO_CLOSE int logs = bundle_dir_open(bundle_store_root_fd(self->store), LOG_DIR_ROOT);
    (void)unlinkat(logs, subject->ns, AT_REMOVEDIR);
    return st->code;
}

static bundle_job_next_t to_child(void *arg, status_t *st)
{
    (void)arg;
    (void)st;
    return BUNDLE_JOB_CHILD;
}

static void finish(sweep_t *self, const status_t *st)
{
    self->done(self->arg, st);
    zlistx_destroy(&self->subjects);
    zlistx_destroy(&self->dirs);
    free(self);
}

static void on_removed(void *arg, const status_t *st)
{
    sweep_t *self = arg;
    if (!st) {
        finish(self, NULL);
        return;
    }
    const subject_t *subject = zlistx_first(self->subjects);
    if (st->code && !self->first.code) {
        self->first = *st;
        status_wrap(&self->first, "logs of %s/%s", subject->ns, subject->id);
    }
    zlistx_delete(self->subjects, zlistx_cursor(self->subjects));
    advance(self);
}

/* Asking ------------------------------------------------------------------------------------------
 */

static void forget_live(sweep_t *self, const msg_container_t *container)
{
    AUTO_FREE char *live = util_format("%" PRId64, container->created_at);
    void *found = zlistx_find(self->dirs, live);
    if (found)
        zlistx_delete(self->dirs, found);
}

/* A log that was there before the answer belongs to the record in it, or to one that is gone. */
static void on_record(void *arg, const status_t *st, const void *answer)
{
    static const bundle_job_ops_t ops = {
        .here = to_child, .child = remove_dirs, .done = on_removed};
    static const status_t ok;
    sweep_t *self = arg;
    if (st->code && st->code != STATUS_NOT_FOUND) {
        finish(self, st);
        return;
    }
    if (!st->code)
        forget_live(self, answer);
    if (!st->code && zlistx_size(self->dirs) == 0)
        on_removed(self, &ok);
    else
        bundle_jobs_add(self->jobs, JOB_KEY, "remove logs", util_now_ms() + LIMIT_MS, &ops, self);
}

static void advance(sweep_t *self)
{
    subject_t *subject;
    while ((subject = zlistx_first(self->subjects))) {
        if (list_dirs(self, subject)) {
            const msg_container_get_t ask = {.id = subject->id};
            link_ask(self->link, MSG_container_get, &ask, subject->ns, 0, NULL, on_record, self);
            return;
        }
        zlistx_delete(self->subjects, zlistx_cursor(self->subjects));
    }
    finish(self, &self->first);
}

void log_sweep_start(link_t *link, bundle_jobs_t *jobs, const bundle_store_t *store, const char *ns,
                     const char *id, log_sweep_done_t *done, void *arg)
{
    sweep_t *self = zmalloc(sizeof *self);
    *self = (sweep_t){.link = link, .jobs = jobs, .store = store, .done = done, .arg = arg};
    self->subjects = zlistx_new();
    zlistx_set_destructor(self->subjects, (zlistx_destructor_fn *)subject_destroy);
    self->dirs = zlistx_new();
    zlistx_set_duplicator(self->dirs, (zlistx_duplicator_fn *)util_strdup);
    zlistx_set_destructor(self->dirs, (zlistx_destructor_fn *)zstr_free);
    zlistx_set_comparator(self->dirs, (zlistx_comparator_fn *)strcmp);
    if (id)
        add_subject(self, ns, id);
    else
        bundle_store_each_ns(bundle_store_root_fd(store), LOG_DIR_ROOT, add_ns, self, &self->first);
    advance(self);
}
