/* shimd-bundle: owns the OCI bundle directories. */
#include "common/failpoint.h"
#include "common/log.h"
#include "common/util.h"
#include "common/worker.h"
#include "workers/bundle/bundle_aside.h"
#include "workers/bundle/bundle_create.h"
#include "workers/bundle/bundle_debt.h"
#include "workers/bundle/bundle_job.h"
#include "workers/bundle/bundle_list.h"
#include "workers/bundle/bundle_remove.h"
#include "workers/bundle/bundle_store.h"
#include "workers/bundle/log_sweep.h"

#include <stdlib.h>

#define WINDOW        64    /* requests the broker may hand over at once */
#define DEADLINE_MS   30000 /* of a request that names none */
#define KEY_OF_BUNDLE "%s/%s"

typedef struct bundle_worker {
    link_t *link;
    bundle_store_t *store;
    bundle_jobs_t *jobs;
    bundle_debts_t *debts;
} bundle_worker_t;

/* A request that takes its turn. */
typedef struct turn {
    bundle_worker_t *owner;
    request_t *request;
    const char *ns;
    const void *ask;
    char hidden[BUNDLE_DIR_NAME_SIZE]; /* bundle.delete: the name it has now, "" before */
    bool is_mount_point;               /* bundle.delete: it cannot be hidden as it is */
} turn_t;

static void add_turn(bundle_worker_t *self, request_t *request, const void *ask, const char *ns,
                     const char *id, const bundle_job_ops_t *ops)
{
    turn_t *turn = zmalloc(sizeof *turn);
    *turn = (turn_t){.owner = self, .request = request, .ns = ns, .ask = ask};
    int64_t deadline = request_deadline(request);
    AUTO_FREE char *key = util_format(KEY_OF_BUNDLE, ns, id);
    AUTO_FREE char *what = util_format("%s %s", msg_type(request_method(request))->name, id);
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
        bundle_debts_sweep_soon(turn->owner->debts);
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
    const msg_bundle_list_t *list = ask;
    msgpack_zone *zone = request_zone(request);
    msg_bundles_t answer = {0};
    status_t st;
    if (!list->debts_only && bundle_list(worker->store, list, zone, &answer, &st)) {
        request_fail(request, &st);
        return;
    }
    if (!list->after)
        bundle_debts_list(worker->debts, zone, &answer);
    request_answer(request, &answer);
}

/* bundle.delete ----------------------------------------------------------------------------------
 */

static status_code_t hide(turn_t *turn, status_t *st)
{
    const msg_bundle_delete_t *ask = turn->ask;
    return bundle_remove_hide(turn->owner->store, turn->ns, ask->id, ask->incarnation, turn->hidden,
                              &turn->is_mount_point, st);
}

static bundle_job_next_t delete_here(void *arg, status_t *st)
{
    turn_t *turn = arg;
    hide(turn, st);
    return turn->is_mount_point ? BUNDLE_JOB_CHILD : BUNDLE_JOB_DONE;
}

static status_code_t delete_child(void *arg, status_t *st)
{
    turn_t *turn = arg;
    const msg_bundle_delete_t *ask = turn->ask;
    return bundle_remove_unmount(turn->owner->store, turn->ns, ask->id, ask->incarnation, st);
}

/* From here on the id is free: the rest must not keep its turn. */
static void delete_done(void *arg, const status_t *st)
{
    turn_t *turn = arg;
    if (!st) {
        answer_empty(turn, st);
        return;
    }
    status_t outcome = *st;
    if (turn->is_mount_point && !outcome.code)
        hide(turn, &outcome);
    if (!outcome.code) {
        status_t ignored; /* what is hidden is deleted */
        FAILPOINT(&ignored, "delete hidden");
        bundle_debts_clear(turn->owner->debts, turn->ns, turn->hidden,
                           request_deadline(turn->request), answer_empty, turn);
        return;
    }
    /* An earlier worker has hidden it and died before it could answer. */
    if (outcome.code == STATUS_NOT_FOUND && request_is_redelivered(turn->request))
        status_clear(&outcome);
    answer_empty(turn, &outcome);
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

static void on_bundle_sweep(void *self, request_t *request, const void *ask)
{
    const bundle_worker_t *worker = self;
    (void)ask;
    status_t st;
    bundle_debts_retry(worker->debts);
    if (bundle_debts_sweep(worker->debts, &st))
        request_fail(request, &st);
    else
        request_answer(request, NULL);
}

/* log.sweep --------------------------------------------------------------------------------------
 */

static void on_log_sweep(void *self, request_t *request, const void *ask)
{
    bundle_worker_t *worker = self;
    const msg_log_sweep_t *sweep = ask;
    const char *ns = sweep->id ? request_require_ns(request) : NULL;
    if (sweep->id && !ns)
        return;
    turn_t *turn = zmalloc(sizeof *turn);
    *turn = (turn_t){.owner = worker, .request = request};
    log_sweep_start(worker->link, worker->jobs, worker->store, ns, sweep->id, answer_empty, turn);
}

static const worker_method_t methods[] = {
    {MSG_bundle_create, on_bundle_create},
    {MSG_bundle_get, on_bundle_get},
    {MSG_bundle_list, on_bundle_list},
    {MSG_bundle_delete, on_bundle_delete},
    {MSG_bundle_quarantine, on_bundle_quarantine},
    {MSG_bundle_sweep, on_bundle_sweep},
    {MSG_log_sweep, on_log_sweep},
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
    bundle_jobs_t *jobs = bundle_jobs_new(worker_io(worker), keep, ARRAY_SIZE(keep));
    bundle_worker_t self = {.link = worker_link(worker), .store = store, .jobs = jobs};
    self.debts = bundle_debts_new(store, jobs, worker_io(worker));
    worker_serve(worker, methods, ARRAY_SIZE(methods), &self, WINDOW);
    bundle_debts_sweep_soon(self.debts); /* what the predecessor left */
    worker_ready(worker);
    int exit_code = worker_run(worker);
    bundle_jobs_destroy(&jobs);
    bundle_debts_destroy(&self.debts);
    worker_destroy(&worker);
    bundle_store_destroy(&store);
    return exit_code;
}
