/* task.delete: the exit into the journal, the container out of its shim, the shim, the bundle. It
 * only goes forward; each step may be done again, so that what a death interrupts is finished
 * later. */
#include "common/log.h"
#include "workers/shim/manager.h"
#include "workers/shim/op.h"

#include "common/proto/task.pb-c.h"

#define SIGNAL_KILL 9

typedef struct deletion {
    op_t op;
    manager_t *manager;
    request_t *request;
    task_t *task;
    bool kill_first;
    msg_exited_t exited;
} deletion_t;

static deletion_t *deletion_of(op_t *op)
{
    return (deletion_t *)op;
}

static void on_asked(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    /* What is gone already need not be removed. */
    if (st->code == STATUS_NOT_FOUND)
        op_ok(arg);
    else
        op_done(arg, st);
}

static void on_killed(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)payload;
    (void)size;
    if (st->code == STATUS_NOT_FOUND)
        op_ok(arg); /* it has finished meanwhile */
    else
        op_done(arg, st);
}

static void ask_kill(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    if (!deletion->kill_first) {
        op_ok(op);
        return;
    }
    Containerd__Task__V2__KillRequest request = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
    request.id = deletion->task->id;
    request.signal = SIGNAL_KILL;
    request.all = true;
    shim_call(deletion->task->shim, "Kill", &request.base, CALL_TIMEOUT_MS, deletion->task->ns,
              on_killed, op);
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
        if (answer && answer->exited_at && answer->exited_at->seconds > 0)
            exits_record(deletion->manager, init, answer->exit_status,
                         answer->exited_at->seconds * 1000000000 + answer->exited_at->nanos, NULL);
        containerd__task__v2__wait_response__free_unpacked(answer, NULL);
    }
    deletion->exited = (msg_exited_t){
        .pid = init->pid, .exit_status = init->exit_status, .exited_at = init->exited_at};
    op_done(&deletion->op, st);
}

static void ask_wait(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    process_t *init = &deletion->task->init;
    if (init->has_exited) {
        deletion->exited = (msg_exited_t){
            .pid = init->pid, .exit_status = init->exit_status, .exited_at = init->exited_at};
        op_ok(op);
        return;
    }
    Containerd__Task__V2__WaitRequest request = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
    request.id = deletion->task->id;
    shim_call(deletion->task->shim, "Wait", &request.base, CALL_TIMEOUT_MS, deletion->task->ns,
              on_exit_known, deletion);
}

static void on_deleted(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)payload;
    (void)size;
    if (st->code == STATUS_NOT_FOUND)
        op_ok(arg);
    else
        op_done(arg, st);
}

static void ask_delete(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    Containerd__Task__V2__DeleteRequest request = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
    request.id = deletion->task->id;
    shim_call(deletion->task->shim, "Delete", &request.base, CALL_TIMEOUT_MS, deletion->task->ns,
              on_deleted, op);
}

static void ask_journal(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    msg_incarnation_end_t ask = {.id = deletion->task->id,
                                 .incarnation = deletion->task->incarnation,
                                 .pid = deletion->exited.pid,
                                 .exit_status = deletion->exited.exit_status,
                                 .exited_at = deletion->exited.exited_at};
    link_ask(deletion->manager->link, MSG_incarnation_end, &ask, deletion->task->ns, 0, NULL,
             on_asked, op);
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
    {"delete in the shim", ask_delete, NULL},
    {"journal", ask_journal, NULL},
    {"shut the shim down", ask_shutdown, NULL},
    {"delete bundle", ask_bundle, NULL},
    {NULL, NULL, NULL},
};

static void on_finished(op_t *op, const status_t *st)
{
    deletion_t *deletion = deletion_of(op);
    manager_t *self = deletion->manager;
    task_t *task = deletion->task;
    if (st->code && task->shim) {
        status_t failure = *st;
        status_wrap(&failure, "delete task %s", task->id);
        task->phase = TASK_LIVE;
        request_fail(deletion->request, &failure);
    } else {
        if (st->code) /* the bundle stays listed, and is removed when the worker looks again */
            log_error("delete %s: %s", task->key, st->text);
        task_table_remove(self->tasks, task);
        request_answer(deletion->request, &deletion->exited);
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
    deletion->op.plan = delete_plan;
    deletion->op.finished = on_finished;
    snprintf(deletion->op.label, sizeof deletion->op.label, "delete %s", task->key);
    task->phase = TASK_DELETING;
    op_start(&deletion->op);
}

/* exec --------------------------------------------------------------------------------------------
 */

typedef struct exec_deletion {
    manager_t *manager;
    request_t *request;
    char ns[77], id[77], exec_id[77];
} exec_deletion_t;

static void on_exec_deleted(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE exec_deletion_t *self = arg;
    task_t *task = task_table_find(self->manager->tasks, self->ns, self->id);
    process_t *process = task ? task_process(task, self->exec_id) : NULL;
    if (st->code && st->code != STATUS_NOT_FOUND) {
        request_fail(self->request, st);
        return;
    }
    msg_exited_t exited = {0};
    Containerd__Task__V2__DeleteResponse *answer =
        st->code ? NULL : containerd__task__v2__delete_response__unpack(NULL, size, payload);
    if (answer)
        exited = (msg_exited_t){.pid = answer->pid, .exit_status = answer->exit_status};
    containerd__task__v2__delete_response__free_unpacked(answer, NULL);
    if (process && process->has_exited)
        exited = (msg_exited_t){.pid = process->pid,
                                .exit_status = process->exit_status,
                                .exited_at = process->exited_at};
    if (process) {
        if (!process->has_exited)
            exits_record(self->manager, process, exited.exit_status, 0, "it was never started");
        request_t *waiter;
        while ((waiter = zlistx_detach(process->waiters, NULL)))
            request_answer(waiter, &exited);
        task_remove_exec(task, process);
    }
    request_answer(self->request, &exited);
}

static void delete_exec(manager_t *self, request_t *request, process_t *process)
{
    if (process->state == PROCESS_RUNNING) {
        manager_fail(request, STATUS_FAILED_PRECONDITION,
                     "process %s must be stopped before deletion: RUNNING", process->exec_id);
        return;
    }
    exec_deletion_t *deletion = zmalloc(sizeof *deletion);
    deletion->manager = self;
    deletion->request = request;
    memcpy(deletion->ns, process->task->ns, sizeof deletion->ns);
    memcpy(deletion->id, process->task->id, sizeof deletion->id);
    memcpy(deletion->exec_id, process->exec_id, sizeof deletion->exec_id);
    Containerd__Task__V2__DeleteRequest ask = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
    ask.id = deletion->id;
    ask.exec_id = deletion->exec_id;
    shim_call(process->task->shim, "Delete", &ask.base, CALL_TIMEOUT_MS, deletion->ns,
              on_exec_deleted, deletion);
}

HANDLER(task_delete)
{
    manager_t *manager = self;
    const msg_task_delete_t *delete = ask;
    const char *ns = request_require_ns(request);
    if (!ns)
        return;
    task_t *task = task_table_find(manager->tasks, ns, delete->id);
    if (!task && request_is_redelivered(request)) {
        exits_answer_deleted(manager, request, delete->id, delete->exec_id);
        return;
    }
    process_t *process = manager_find(manager, request, ask, delete->id, delete->exec_id);
    if (!process)
        return;
    if (process->exec_id[0])
        delete_exec(manager, request, process);
    else
        delete_task(manager, request, process->task, delete->force);
}
