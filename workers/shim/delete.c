/* task.delete: the exit into the journal, the container out of its shim, the shim, the bundle. It
 * only goes forward; each step may be done again, so that what a death interrupts is finished
 * later. */
#include "common/log.h"
#include "workers/shim/debt.h"
#include "workers/shim/end_call.h"
#include "workers/shim/foreign.h"
#include "workers/shim/manager.h"
#include "workers/shim/op.h"
#include "workers/shim/orphan.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"

#include "common/proto/task.pb-c.h"

#define RETRIES_MAX 3 /* of calls whose answer was lost; all of them may be made again */

typedef struct deletion {
    op_t op;
    manager_t *manager;
    request_t *request; /* NULL once it is answered */
    task_t *task;
    bool kill_first;
    unsigned retries;
    msg_exited_t exited;
} deletion_t;

static deletion_t *deletion_of(op_t *op)
{
    return (deletion_t *)op;
}

/* The task's shim is asked, or has died. */
static void fail_unless(op_t *op, bool is_asked)
{
    status_t st;
    if (is_asked)
        return;
    status_set(&st, STATUS_UNAVAILABLE, "its shim has died");
    op_done(op, &st);
}

/* What is gone already need not be removed. */
static void on_gone(op_t *op, const status_t *st)
{
    deletion_t *deletion = deletion_of(op);
    bool is_lost = st->code == STATUS_UNAVAILABLE || st->code == STATUS_INTERNAL;
    if (is_lost && deletion->retries++ < RETRIES_MAX)
        op->plan[op->step].ask(op); /* waits for the connection, or the news of the shim's death */
    else if (st->code == STATUS_NOT_FOUND)
        op_ok(op);
    else
        op_done(op, st);
}

static void on_killed(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)payload;
    (void)size;
    on_gone(arg, st);
}

static void on_asked(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    on_gone(arg, st);
}

static void ask_kill(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    if (!deletion->kill_first) {
        op_ok(op);
        return;
    }
    fail_unless(op, end_call_kill(op, &deletion->task->init, true, on_killed));
}

/* A Delete that is faster than the shim's own knowledge of the end is refused, or invents a code.
 */
static void on_exit_known(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    deletion_t *deletion = arg;
    process_t *init = &deletion->task->init;
    if (!st->code) {
        Containerd__Task__V2__WaitResponse *answer =
            containerd__task__v2__wait_response__unpack(NULL, size, payload);
        int64_t at = answer ? exits_time(answer->exited_at) : 0;
        if (at)
            exits_record(deletion->manager, init,
                         &(exit_news_t){.status = answer->exit_status, .at = at, .source = "wait"});
        containerd__task__v2__wait_response__free_unpacked(answer, NULL);
    }
    exits_describe(init, &deletion->exited);
    on_gone(&deletion->op, st);
}

static void ask_wait(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    process_t *init = &deletion->task->init;
    if (init->has_exited) {
        exits_describe(init, &deletion->exited);
        op_ok(op);
        return;
    }
    fail_unless(op, end_call_wait(op, init, on_exit_known));
}

/* A stopped task that its shim does not let go of, most often because somebody is in its root
 * filesystem: the shim is ended, its `delete` verb cleans up as far as it can, and what is still
 * mounted becomes debt of the bundle worker. */
static void on_verb_deleted(void *arg, const status_t *st, const msg_exited_t *exited)
{
    deletion_t *deletion = arg;
    (void)exited;
    if (st->code)
        log_warn("%s: %s", deletion->op.label, st->text);
    op_ok(&deletion->op);
}

static void on_forced(void *arg)
{
    deletion_t *deletion = arg;
    verb_delete(deletion->manager, deletion->task, on_verb_deleted, deletion);
}

static void on_deleted(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    deletion_t *deletion = arg;
    task_t *task = deletion->task;
    (void)payload;
    (void)size;
    bool is_alone = task->shim && *shim_users(task->shim) == 1;
    bool is_stuck = st->code == STATUS_UNKNOWN && task->init.has_exited && is_alone;
    if (!is_stuck) {
        on_gone(&deletion->op, st);
        return;
    }
    log_warn("delete %s: %s; its shim is ended", task->key, st->text);
    shim_t *shim = TAKE(task->shim);
    --*shim_users(shim);
    ending_begin(deletion->manager, shim, task->ns, task->id, true, on_forced, deletion);
}

/* Before the shim forgets it: nothing tells afterwards whether it was started. */
static void ask_outcomes(op_t *op)
{
    outcome_keep_all(deletion_of(op)->task, on_asked, op);
}

static void ask_delete(op_t *op)
{
    fail_unless(op, end_call_delete(op, &deletion_of(op)->task->init, on_deleted));
}

/* It is deleted: exit and delete events are in the journal, the container is out of the runtime.
 * Who asked need not wait for the shim to end and for its directories to go; the next create of
 * that id does. */
static void on_journalled(void *arg, const status_t *st, const void *answer)
{
    deletion_t *deletion = arg;
    if (!st->code)
        restart_due(deletion->manager, answer);
    if (!st->code || st->code == STATUS_NOT_FOUND) {
        task_enter(deletion->task, TASK_CLEANING);
        request_answer_recorded(TAKE(deletion->request), &deletion->exited);
        exits_hand_over(deletion->manager, &deletion->task->init);
        op_ok(&deletion->op);
        return;
    }
    op_done(&deletion->op, st);
}

static void ask_journal(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    msg_incarnation_end_t ask = {.id = deletion->task->id,
                                 .incarnation = deletion->task->incarnation,
                                 .pid = deletion->exited.pid,
                                 .exit_status = deletion->exited.exit_status,
                                 .exited_at = deletion->exited.exited_at,
                                 .unknown = deletion->exited.unknown,
                                 .why = deletion->exited.why,
                                 .stopped = restart_stopped_in(deletion->task)};
    deleter_sign(&deletion->task->deleter, &ask);
    link_ask(deletion->manager->link, MSG_incarnation_end, &ask, deletion->task->ns, 0, NULL,
             on_journalled, op);
}

static void on_shim_ended(void *arg)
{
    op_ok(arg);
}

static void ask_shutdown(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    shim_t *shim = deletion->task->shim;
    deletion->task->shim = NULL;
    if (!shim) { /* it died by itself, after its last word */
        op_ok(op);
        return;
    }
    if (--*shim_users(shim) == 0)
        ending_begin(deletion->manager, shim, deletion->task->ns, deletion->task->id, false,
                     on_shim_ended, op);
    else
        op_ok(op);
}

static void ask_bundle(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    msg_bundle_delete_t ask = {.id = deletion->task->id,
                               .incarnation = deletion->task->incarnation};
    link_ask(deletion->manager->link, MSG_bundle_delete, &ask, deletion->task->ns, 0, NULL,
             on_asked, op);
}

static const op_step_t delete_plan[] = {
    {"kill", ask_kill, NULL},
    {"wait for the exit", ask_wait, NULL},
    {"record outcomes", ask_outcomes, NULL},
    {"delete in the shim", ask_delete, NULL},
    {"journal", ask_journal, NULL},
    {"shut the shim down", ask_shutdown, NULL},
    {"delete bundle", ask_bundle, NULL},
    {NULL, NULL, NULL},
};

/* The shim died under the deletion: what is left of the task is buried, and whoever deletes it is
 * answered after that. */
static void go_on_without_shim(deletion_t *deletion)
{
    task_t *task = deletion->task;
    zlistx_add_end(task->deleters, deletion->request);
    bury_task(deletion->manager, task);
}

static void on_let_go(void *arg)
{
    (void)arg;
}

/* When the plan broke off before it came to that. */
static void let_shim_end(manager_t *self, task_t *task)
{
    shim_t *shim = TAKE(task->shim);
    if (shim && --*shim_users(shim) == 0)
        ending_begin(self, shim, task->ns, task->id, false, on_let_go, NULL);
}

static void on_finished(op_t *op, const status_t *st)
{
    deletion_t *deletion = deletion_of(op);
    manager_t *self = deletion->manager;
    task_t *task = deletion->task;
    if (task->phase == TASK_CLEANING) {
        if (st->code)
            debt_add(self, task->ns, task->id, task->incarnation, st);
        let_shim_end(self, task);
        manager_remove_task(self, task);
    } else if (task->shim && !shim_is_gone(task->shim)) {
        status_t failure = *st;
        status_wrap(&failure, "delete task %s", task->id);
        task_enter(task, TASK_LIVE);
        deleter_clear(&task->deleter, task->bundle);
        foreign_fail(deletion->request, &failure);
    } else {
        log_warn("delete %s: %s", task->key, st->text);
        go_on_without_shim(deletion);
    }
    free(deletion);
}

static void delete_task(manager_t *self, request_t *request, task_t *task, bool force)
{
    process_t *init = &task->init;
    if (!force && init->state != PROCESS_STOPPED) {
        manager_fail(request, STATUS_FAILED_PRECONDITION,
                     "task %s must be stopped before deletion: %s", task->id,
                     process_state_name(init->state));
        return;
    }
    deletion_t *deletion = zmalloc(sizeof *deletion);
    deletion->manager = self;
    deletion->request = request;
    deletion->task = task;
    deletion->kill_first = init->state != PROCESS_STOPPED;
    deletion->op.name = "delete";
    deletion->op.plan = delete_plan;
    deletion->op.finished = on_finished;
    snprintf(deletion->op.label, sizeof deletion->op.label, "delete %s", task->key);
    task_enter(task, TASK_DELETING);
    deleter_set(&task->deleter, task->bundle, request, force);
    op_start(&deletion->op);
}

static bool is_forced(const process_t *process, const msg_task_delete_t *delete)
{
    return delete->force || (delete->unstarted && process->state == PROCESS_CREATED);
}

HANDLER(task_delete)
{
    manager_t *manager = self;
    const msg_task_delete_t *delete = ask;
    const char *ns = request_require_ns(request);
    if (!ns)
        return;
    if (!delete->exec_id && restart_stop(manager, request, delete->id))
        return;
    task_t *task = task_table_find(manager->tasks, ns, delete->id);
    bool is_settled = task && task->phase != TASK_LOADING && task->phase != TASK_CREATING;
    if (!task || task->phase == TASK_CLEANING) {
        status_t st;
        status_set(&st, STATUS_NOT_FOUND, "task %s: not found", delete->id);
        outcome_or_fail(manager, request, &st);
        return;
    }
    if (is_settled && !task_process(task, delete->exec_id) && manager_is_again(task, request)) {
        exits_answer_deleted(manager, request, delete->id, delete->exec_id);
        return;
    }
    if (task->phase == TASK_BURYING && !delete->exec_id) {
        if (!restart_is_own_delete(task, request))
            restart_mark_stopped(task, request);
        manager_park(task, request, PARK_BURYING);
        return;
    }
    process_t *process = manager_find(manager, request, delete->id, delete->exec_id);
    if (!process)
        return;
    bool force = is_forced(process, delete);
    bool ends = !process->exec_id[0] && (force || process->state == PROCESS_STOPPED);
    if (ends && !restart_is_own_delete(process->task, request))
        restart_mark_stopped(process->task, request);
    if (process->task->phase == TASK_ORPHANED && !process->exec_id[0])
        orphan_delete(manager, request, process->task, force);
    else if (process->exec_id[0])
        exec_delete_begin(request, process, force);
    else
        delete_task(manager, request, process->task, force);
}
