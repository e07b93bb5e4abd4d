/* Execs of a task that has lost its shim, of which no process is known. */
#include "workers/shim/exec_record.h"
#include "workers/shim/orphan.h"
#include "workers/shim/start_ended.h"

static void drop_exec(manager_t *self, process_t *exec)
{
    exec_record_remove(exec->task->bundle, exec->exec_id);
    exits_hand_over(self, exec);
    task_remove_exec(exec->task, exec);
}

static void on_exit_record(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE process_ref_t *ref = arg;
    process_t *exec = process_ref_find(ref);
    const msg_exited_t *exited = answer;
    if (!exec || exec->pid || exec->task->phase != TASK_ORPHANED)
        return;
    if (!st->code && start_ended_is_proof(exited, exec->sent_at) && !exited->unknown)
        exits_recorded(exec, exited);
    else
        drop_exec(ref->manager, exec);
}

void orphan_settle_execs(manager_t *self, task_t *task)
{
    zlistx_t *gone = zlistx_new();
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        if (!exec->pid)
            zlistx_add_end(gone, exec);
    for (process_t *exec = zlistx_first(gone); exec; exec = zlistx_next(gone)) {
        if (!exec->sent_at) {
            drop_exec(self, exec);
            continue;
        }
        process_ref_t *ref = zmalloc(sizeof *ref);
        *ref = process_ref(exec);
        const msg_exit_get_t ask = {.id = task->id, .exec_id = ref->exec_id};
        link_ask(self->link, MSG_exit_get, &ask, task->ns, 0, NULL, on_exit_record, ref);
    }
    zlistx_destroy(&gone);
}
