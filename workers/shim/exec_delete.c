/* task.delete of an exec: killed first when that is asked for, out of the shim, and forgotten. */
#include "workers/shim/end_call.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/foreign.h"
#include "workers/shim/manager.h"
#include "workers/shim/op.h"
#include "workers/shim/outcome.h"

typedef struct deletion {
    op_t op;
    process_ref_t ref;
    request_t *request; /* NULL: its deadline is over */
    bool kill_first;
    msg_exited_t exited;
} deletion_t;

static deletion_t *deletion_of(op_t *op)
{
    return (deletion_t *)op;
}

/* The exec's shim is asked, or there is nothing left to be asked for. */
static void pass_unless(op_t *op, bool is_asked)
{
    if (!is_asked)
        op_ok(op);
}

static void on_done(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)payload;
    (void)size;
    if (st->code == STATUS_NOT_FOUND)
        op_ok(arg); /* it has finished, or is gone */
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
    pass_unless(op, end_call_kill(op, process_ref_find(&deletion->ref), false, on_done));
}

/* The exit is asked for before it is deleted away. */
static void on_waited(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    deletion_t *deletion = arg;
    process_t *process = process_ref_find(&deletion->ref);
    Containerd__Task__V2__WaitResponse *answer =
        st->code ? NULL : containerd__task__v2__wait_response__unpack(NULL, size, payload);
    int64_t at = answer ? exits_time(answer->exited_at) : 0;
    if (process && at)
        exits_record(deletion->ref.manager, process,
                     &(exit_news_t){.status = answer->exit_status, .at = at, .source = "wait"});
    containerd__task__v2__wait_response__free_unpacked(answer, NULL);
    op_done(&deletion->op, st);
}

static void ask_wait(op_t *op)
{
    deletion_t *deletion = deletion_of(op);
    process_t *process = process_ref_find(&deletion->ref);
    if (!process || process->has_exited || !deletion->kill_first) {
        op_ok(op);
        return;
    }
    pass_unless(op, end_call_wait(op, process, on_waited));
}

static void on_kept(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    op_done(arg, st);
}

static void ask_outcomes(op_t *op)
{
    const process_t *process = process_ref_find(&deletion_of(op)->ref);
    if (process)
        outcome_keep(process, on_kept, op);
    else
        op_ok(op);
}

static void ask_delete(op_t *op)
{
    process_t *process = process_ref_find(&deletion_of(op)->ref);
    pass_unless(op, end_call_delete(op, process, on_done));
}

static const op_step_t plan[] = {
    {"kill", ask_kill, NULL},
    {"wait for the exit", ask_wait, NULL},
    {"record outcomes", ask_outcomes, NULL},
    {"delete in the shim", ask_delete, NULL},
    {NULL, NULL, NULL},
};

static void on_finished(op_t *op, const status_t *st)
{
    deletion_t *deletion = deletion_of(op);
    process_t *process = process_ref_find(&deletion->ref);
    if (process)
        process->is_deleting = false;
    if (process && process->has_exited)
        exits_describe(process, &deletion->exited);
    if (process && !st->code) {
        exec_record_remove(process->task->bundle, process->exec_id);
        exits_hand_over(deletion->ref.manager, process);
        task_remove_exec(process->task, process);
    }
    if (!deletion->request)
        exec_deadline_deleted(st->code ? process : NULL, st);
    else if (st->code)
        foreign_fail(deletion->request, st);
    else if (!process) /* somebody else was faster */
        exits_answer_deleted(deletion->ref.manager, deletion->request, deletion->ref.id,
                             deletion->ref.exec_id);
    else
        request_answer(deletion->request, &deletion->exited);
    free(deletion);
}

static void begin(request_t *request, process_t *process, bool kill_first)
{
    deletion_t *deletion = zmalloc(sizeof *deletion);
    deletion->ref = process_ref(process);
    deletion->request = request;
    deletion->kill_first = kill_first;
    deletion->op.name = "delete exec";
    deletion->op.plan = plan;
    deletion->op.finished = on_finished;
    snprintf(deletion->op.label, sizeof deletion->op.label, "delete exec %s of %s",
             process->exec_id, process->task->key);
    process->is_deleting = true;
    op_start(&deletion->op);
}

void exec_delete_expired(process_t *process)
{
    begin(NULL, process, false);
}

void exec_delete_begin(request_t *request, process_t *process, bool force)
{
    bool is_beyond = process->state != PROCESS_STOPPED && process->state != PROCESS_CREATED;
    bool runs = is_beyond && !process_is_gone(process);
    if (runs && !force) {
        manager_fail(request, STATUS_FAILED_PRECONDITION,
                     "process %s must be stopped before deletion: %s", process->exec_id,
                     process_state_name(process->state));
        return;
    }
    begun_add(&process->task->begun, process->task->bundle, request_id(request), BEGUN_DONE);
    begin(request, process, runs);
}
