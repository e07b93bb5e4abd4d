/* shimd-bundle: owns the OCI bundle directories. */
#include "common/log.h"
#include "common/util.h"
#include "common/worker.h"
#include "workers/bundle/bundle_aside.h"
#include "workers/bundle/bundle_create.h"
#include "workers/bundle/bundle_job.h"
#include "workers/bundle/bundle_remove.h"
#include "workers/bundle/bundle_store.h"
#include "workers/bundle/bundle_sweep.h"

#include <stdlib.h>

#define WINDOW         64       /* requests the broker may hand over at once */
#define DEADLINE_MS    30000    /* of a request that names none */
#define SWEEP_LIMIT_MS 600000   /* of a sweep of our own */
#define SWEEP_RETRY_MS 60000    /* after one that left something */
#define SWEEP_KEY      "/sweep" /* no bundle's key: those are NS/ID */
#define KEY_OF_BUNDLE  "%s/%s"

typedef struct bundle_worker {
    worker_t *worker;
    bundle_store_t *store;
    bundle_jobs_t *jobs;
    bool sweep_is_due; /* a sweep of our own waits for its timer or runs */
} bundle_worker_t;

/* A request that takes its turn, or a sweep of our own when `request` is NULL. */
typedef struct turn {
    bundle_worker_t *owner;
    request_t *request;
    const char *ns;
    const void *ask;
} turn_t;

static void sweep_later(bundle_worker_t *self, size_t ms);

static void add_turn(bundle_worker_t *self, request_t *request, const void *ask, const char *ns,
                     const char *id, const bundle_job_ops_t *ops)
{
    turn_t *turn = zmalloc(sizeof *turn);
    *turn = (turn_t){.owner = self, .request = request, .ns = ns, .ask = ask};
    int64_t deadline = request ? request_deadline(request) : util_now_ms() + SWEEP_LIMIT_MS;
    const char *method = msg_type(request ? request_method(request) : MSG_bundle_sweep)->name;
    AUTO_FREE char *key = id ? util_format(KEY_OF_BUNDLE, ns, id) : util_strdup(SWEEP_KEY);
    AUTO_FREE char *what = id ? util_format("%s %s", method, id) : util_strdup(method);
    bundle_jobs_add(self->jobs, key, what, deadline ? deadline : util_now_ms() + DEADLINE_MS, ops,
                    turn);
}

/* Without a status the process stops: the broker gives the request to the successor. */
static void answer_empty(void *arg, const status_t *st)
{
    AUTO_FREE turn_t *turn = arg;
    if (!st)
        return;
    if (st->code)
        request_fail(turn->request, st);
    else
        request_answer(turn->request, NULL);
}

/* bundle.create ----------------------------------------------------------------------------------
 */

static bundle_job_next_t create_here(void *arg, status_t *st)
{
    turn_t *turn = arg;
    const msg_bundle_create_t *ask = turn->ask;
    bool has_left_over;
    bundle_create_run(turn->owner->store, turn->ns, ask->id, ask->incarnation, ask->spec.data,
                      ask->spec.size, &has_left_over, st);
    if (has_left_over)
        sweep_later(turn->owner, 1);
    return BUNDLE_JOB_DONE;
}

static void create_done(void *arg, const status_t *st)
{
    AUTO_FREE turn_t *turn = arg;
    if (!st)
        return;
    const msg_bundle_create_t *ask = turn->ask;
    msg_bundle_t answer;
    status_t outcome = *st;
    if (outcome.code || bundle_store_find(turn->owner->store, turn->ns, ask->id,
                                          request_zone(turn->request), &answer, &outcome))
        request_fail(turn->request, &outcome);
    else
        request_answer(turn->request, &answer);
}

static void on_bundle_create(void *self, request_t *request, const void *ask)
{
    static const bundle_job_ops_t ops = {.here = create_here, .done = create_done};
    const msg_bundle_create_t *create = ask;
    const char *ns = request_require_ns(request);
    if (ns)
        add_turn(self, request, ask, ns, create->id, &ops);
}

/* bundle.get, bundle.list ------------------------------------------------------------------------
 */

/* Neither waits for its turn: renames show a bundle whole or not at all. */
static void on_bundle_get(void *self, request_t *request, const void *ask)
{
    const bundle_worker_t *worker = self;
    const msg_bundle_get_t *get = ask;
    const char *ns = request_require_ns(request);
    if (!ns)
        return;
    msg_bundle_t answer;
    status_t st;
    if (bundle_store_find(worker->store, ns, get->id, request_zone(request), &answer, &st))
        request_fail(request, &st);
    else
        request_answer(request, &answer);
}

static void on_bundle_list(void *self, request_t *request, const void *ask)
{
    const bundle_worker_t *worker = self;
    (void)ask;
    msg_bundles_t answer;
    status_t st;
    if (bundle_store_list(worker->store, request_zone(request), &answer, &st))
        request_fail(request, &st);
    else
        request_answer(request, &answer);
}

/* bundle.delete ----------------------------------------------------------------------------------
 */

static status_code_t delete_child(void *arg, status_t *st)
{
    turn_t *turn = arg;
    const msg_bundle_delete_t *ask = turn->ask;
    return bundle_remove_run(turn->owner->store, turn->ns, ask->id, ask->incarnation, st);
}

static bundle_job_next_t delete_here(void *arg, status_t *st)
{
    turn_t *turn = arg;
    const msg_bundle_delete_t *ask = turn->ask;
    const bundle_store_t *store = turn->owner->store;
    if (bundle_remove_check(store, turn->ns, ask->id, ask->incarnation, st))
        return BUNDLE_JOB_DONE;
    if (!bundle_remove_is_quick(store, turn->ns, ask->id))
        return BUNDLE_JOB_CHILD;
    bundle_remove_quickly(store, turn->ns, ask->id, ask->incarnation, st);
    return BUNDLE_JOB_DONE;
}

/* Whether nothing is left of what a delete was asked to remove, so that only the sweep is owed: the
 * id is free, or an earlier worker has deleted it and died before it could answer. */
static bool is_deleted(const turn_t *turn, const status_t *st)
{
    return st->code == STATUS_OK || st->code == STATUS_ABORTED ||
           (st->code == STATUS_NOT_FOUND && request_is_redelivered(turn->request));
}

static void delete_done(void *arg, const status_t *st)
{
    turn_t *turn = arg;
    status_t outcome = st ? *st : (status_t){0};
    if (st && st->code == STATUS_ABORTED)
        log_warn("%s", st->text);
    if (st && (st->code == STATUS_ABORTED || status_is_uncertain(st->code)))
        sweep_later(turn->owner, SWEEP_RETRY_MS);
    if (st && is_deleted(turn, st))
        status_clear(&outcome);
    answer_empty(turn, st ? &outcome : NULL);
}

static void on_bundle_delete(void *self, request_t *request, const void *ask)
{
    static const bundle_job_ops_t ops = {
        .here = delete_here, .child = delete_child, .done = delete_done};
    const msg_bundle_delete_t *delete = ask;
    const char *ns = request_require_ns(request);
    if (ns)
        add_turn(self, request, ask, ns, delete->id, &ops);
}

/* bundle.quarantine ------------------------------------------------------------------------------
 */

static bundle_job_next_t quarantine_here(void *arg, status_t *st)
{
    turn_t *turn = arg;
    const msg_bundle_quarantine_t *ask = turn->ask;
    bundle_aside_run(turn->owner->store, turn->ns, ask->id, ask->why, st);
    if (st->code == STATUS_NOT_FOUND && request_is_redelivered(turn->request))
        status_clear(st);
    return BUNDLE_JOB_DONE;
}

static void on_bundle_quarantine(void *self, request_t *request, const void *ask)
{
    static const bundle_job_ops_t ops = {.here = quarantine_here, .done = answer_empty};
    const msg_bundle_quarantine_t *quarantine = ask;
    const char *ns = request_require_ns(request);
    if (ns)
        add_turn(self, request, ask, ns, quarantine->id, &ops);
}

/* bundle.sweep -----------------------------------------------------------------------------------
 */

static bundle_job_next_t sweep_here(void *arg, status_t *st)
{
    turn_t *turn = arg;
    size_t count;
    if (bundle_sweep_mark(turn->owner->store, &count, st) || count == 0)
        return BUNDLE_JOB_DONE;
    return BUNDLE_JOB_CHILD;
}

static status_code_t sweep_child(void *arg, status_t *st)
{
    turn_t *turn = arg;
    return bundle_sweep_run(turn->owner->store, st);
}

static void own_sweep_done(void *arg, const status_t *st)
{
    AUTO_FREE turn_t *turn = arg;
    turn->owner->sweep_is_due = false;
    if (!st || st->code == STATUS_OK)
        return;
    log_warn("%s", st->text);
    sweep_later(turn->owner, SWEEP_RETRY_MS);
}

static int on_sweep_due(zloop_t *loop, int timer, void *arg)
{
    static const bundle_job_ops_t ops = {
        .here = sweep_here, .child = sweep_child, .done = own_sweep_done};
    (void)loop;
    (void)timer;
    add_turn(arg, NULL, NULL, NULL, NULL, &ops);
    return 0;
}

static void sweep_later(bundle_worker_t *self, size_t ms)
{
    if (self->sweep_is_due)
        return;
    self->sweep_is_due = true;
    zloop_timer(worker_loop(self->worker), ms, 1, on_sweep_due, self);
}

static void on_bundle_sweep(void *self, request_t *request, const void *ask)
{
    static const bundle_job_ops_t ops = {
        .here = sweep_here, .child = sweep_child, .done = answer_empty};
    add_turn(self, request, ask, NULL, NULL, &ops);
}

static const worker_method_t methods[] = {
    {MSG_bundle_create, on_bundle_create},
    {MSG_bundle_get, on_bundle_get},
    {MSG_bundle_list, on_bundle_list},
    {MSG_bundle_delete, on_bundle_delete},
    {MSG_bundle_quarantine, on_bundle_quarantine},
    {MSG_bundle_sweep, on_bundle_sweep},
};

int main(int argc, char **argv)
{
    worker_t *worker = worker_new(SERVICE_BUNDLE, argc, argv);
    const cluster_t *cluster = worker_cluster(worker);
    status_t st;
    bundle_store_t *store = bundle_store_new(cluster->run_dir, cluster->root_dir, &st);
    if (!store) {
        log_error("start: %s", st.text);
        worker_destroy(&worker);
        return EXIT_FAILURE;
    }
    const int keep[] = {bundle_store_run_fd(store), bundle_store_root_fd(store)};
    bundle_jobs_t *jobs =
        bundle_jobs_new(worker_loop(worker), worker_io(worker), keep, ARRAY_SIZE(keep));
    bundle_worker_t self = {.worker = worker, .store = store, .jobs = jobs};
    worker_serve(worker, methods, ARRAY_SIZE(methods), &self, WINDOW);
    sweep_later(&self, 1); /* what the predecessor left */
    worker_ready(worker);
    int exit_code = worker_run(worker);
    bundle_jobs_destroy(&jobs);
    worker_destroy(&worker);
    bundle_store_destroy(&store);
    return exit_code;
}
