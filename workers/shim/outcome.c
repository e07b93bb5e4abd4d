/* Earlier outcomes of requests. */
#include "workers/shim/outcome.h"

#include "common/log.h"
#include "workers/shim/restart.h"

typedef struct refusal {
    request_t *request;
    status_t st;
} refusal_t;

static void on_outcome(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE refusal_t *self = arg;
    if (!st->code)
        worker_looked_up(self->request, answer);
    else
        request_fail(self->request, st->code == STATUS_NOT_FOUND ? &self->st : st);
}

void outcome_or_fail(manager_t *self, request_t *request, const status_t *st)
{
    refusal_t *refusal = zmalloc(sizeof *refusal);
    *refusal = (refusal_t){.request = request, .st = *st};
    msg_request_get_t ask = {.id = *request_id(request)};
    link_ask(self->link, MSG_request_get, &ask, NULL, 0, NULL, on_outcome, refusal);
}

bool outcome_is_answered(const manager_t *self, const request_t *request)
{
    const char *id = manager_target(request);
    const char *ns = request_ns(request);
    const task_t *task = id && ns ? task_table_find(self->tasks, ns, id) : NULL;
    return task && begun_has(&task->begun, request_id(request), BEGUN_ANSWERED);
}

/* The journal may be slow, so it is asked only where nobody else knows: about a request that was
 * sent before, of which the bundle does not say that it was answered. A create is looked up by
 * incarnation.begin. */
static void look_up(manager_t *self, request_t *request)
{
    if (outcome_is_answered(self, request) || request_method(request) == MSG_task_create)
        worker_looked_up(request, NULL);
    else
        worker_lookup_remote(request);
}

static void lookup(void *arg, request_t *request)
{
    if (!load_defer(arg, request, look_up))
        look_up(arg, request);
}

/* Answered first, recorded meanwhile -------------------------------------------------------------
 */

typedef struct sending {
    process_ref_t ref; /* init of the task */
    msg_uuid_t request;
} sending_t;

static void on_sent(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE sending_t *self = arg;
    process_t *init = process_ref_find(&self->ref);
    (void)answer;
    if (st->code)
        log_error("%s/%s: outcome of a kill: %s; once more before the task is forgotten",
                  self->ref.ns, self->ref.id, st->text);
    else if (init && init->task->bundle)
        begun_add(&init->task->begun, init->task->bundle, &self->request, BEGUN_RECORDED);
}

static void send_outcome(const task_t *task, const msg_request_record_t *outcome)
{
    sending_t *self = zmalloc(sizeof *self);
    *self = (sending_t){.ref = process_ref(&task->init), .request = outcome->id};
    link_ask(task->manager->link, MSG_request_record, outcome, NULL, 0, NULL, on_sent, self);
}

/* No kill waits for the disk. That it came off is in the bundle, which outlives every process of
 * the cluster; it does not outlive the machine's going down, but nor does what was signalled. The
 * bundle goes only after the journal has the outcome (outcome_keep_all). */
static bool answer_kill(manager_t *self, request_t *request, const msg_request_record_t *outcome)
{
    static const status_t ok;
    bool came_off = request_method(request) == MSG_task_kill && !outcome->status;
    task_t *task = came_off
                       ? task_table_find(self->tasks, request_ns(request), manager_target(request))
                       : NULL;
    if (!task || (task->phase != TASK_LIVE && task->phase != TASK_ORPHANED) ||
        !begun_add(&task->begun, task->bundle, request_id(request), BEGUN_ANSWERED))
        return false;
    send_outcome(task, outcome);
    worker_recorded(request, &ok);
    return true;
}

static void record(void *arg, request_t *request, const msg_request_record_t *outcome)
{
    msg_request_record_t told = *outcome;
    if (request_method(request) == MSG_task_kill)
        restart_on_kill_outcome(arg, request, &told);
    if (!answer_kill(arg, request, &told))
        worker_record_remote(request, &told);
}

const worker_journal_t outcome_journal = {.lookup = lookup, .record = record};
