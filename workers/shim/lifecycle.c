/* task.kill, resize and close-io: what the real shims answer with a code that says nothing is
 * refused here, from what is known of the process. */
#include "workers/shim/call.h"
#include "workers/shim/foreign.h"
#include "workers/shim/orphan.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"

#include "common/proto/task.pb-c.h"

#include <signal.h>

/* kill -------------------------------------------------------------------------------------------
 */

/* A SIGKILL that a predecessor has sent and that comes again: what it finds dead is its doing, as
 * far as anybody can tell. */
static bool is_dead_of_it(const process_t *process)
{
    if (!process->has_exited)
        return process_is_gone(process);
    return process->exit_status == KILLED || process->exit_why;
}

static void on_killed_again(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    request_t *request = arg;
    (void)payload;
    (void)size;
    if (st->code && st->code != STATUS_NOT_FOUND)
        foreign_fail(request, st);
    else
        request_answer(request, NULL);
}

static void kill_by_shim(manager_t *self, request_t *request, process_t *process, bool is_again)
{
    const msg_task_kill_t *kill = request_ask(request);
    Containerd__Task__V2__KillRequest message = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.signal = kill->signal;
    message.all = kill->all;
    if (kill->signal != SIGKILL)
        request_bind(request); /* a successor could not tell whether it was sent */
    if (is_again)
        shim_call(process->task->shim, "Kill", &message.base, self->timeouts.call,
                  process->task->ns, on_killed_again, request);
    else
        call_shim(self, request, process, "Kill", &message.base, call_finish_empty);
}

HANDLER(task_kill)
{
    const msg_task_kill_t *kill = ask;
    if (outcome_is_answered(self, request)) {
        request_answer(request, NULL);
        return;
    }
    bool stops = restart_is_stop(kill);
    if (stops && restart_stop(self, request, kill->id))
        return;
    process_t *process = manager_find(self, request, kill->id, kill->exec_id);
    if (!process)
        return;
    bool is_again = manager_is_again(process->task, request);
    if (is_again && kill->signal != SIGKILL) {
        manager_fail(request, STATUS_UNAVAILABLE,
                     "task.kill: the worker died, whether signal %u was sent is not known",
                     kill->signal);
        return;
    }
    if (stops)
        restart_mark_stopped(process->task, request);
    if (is_again && is_dead_of_it(process)) {
        request_answer(request, NULL);
        return;
    }
    if (process->has_exited) {
        manager_fail(request, STATUS_NOT_FOUND, "process already finished: not found");
        return;
    }
    if (process->task->phase == TASK_ORPHANED) {
        orphan_kill(self, request, process, kill);
        return;
    }
    kill_by_shim(self, request, process, is_again);
}

/* terminal and input -----------------------------------------------------------------------------
 */

HANDLER(task_resize)
{
    const msg_task_resize_t *resize = ask;
    process_t *process = manager_find(self, request, resize->id, resize->exec_id);
    if (!process)
        return;
    Containerd__Task__V2__ResizePtyRequest message = CONTAINERD__TASK__V2__RESIZE_PTY_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.width = resize->width;
    message.height = resize->height;
    call_shim(self, request, process, "ResizePty", &message.base, call_finish_empty);
}

HANDLER(task_close_io)
{
    const msg_task_close_io_t *close_io = ask;
    process_t *process = manager_find(self, request, close_io->id, close_io->exec_id);
    if (!process)
        return;
    Containerd__Task__V2__CloseIORequest message = CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.stdin = close_io->stdin;
    call_shim(self, request, process, "CloseIO", &message.base, call_finish_empty);
}
