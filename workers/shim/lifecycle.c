/* task.start, kill, pause, resume, resize and close-io: what the real shims answer with a code that
 * says nothing is refused here, from what is known of the process. */
#include "workers/shim/call.h"
#include "workers/shim/orphan.h"
#include "workers/shim/state.h"

#include "common/proto/task.pb-c.h"

#define SIGNAL_KILL 9

/* start ------------------------------------------------------------------------------------------
 */

typedef struct starting {
    manager_t *manager;
    request_t *request;
    char ns[77], id[77], exec_id[77], incarnation[UTIL_UUID_SIZE];
    status_t failure;
} starting_t;

static process_t *started_process(const starting_t *self)
{
    task_t *task = task_table_find(self->manager->tasks, self->ns, self->id);
    if (!task || strcmp(task->incarnation, self->incarnation))
        return NULL;
    return task_process(task, self->exec_id);
}

static void start_succeeded(starting_t *self, process_t *process, uint32_t pid)
{
    if (process) {
        process->is_starting = false;
        process_started(process, pid);
        stdio_release(&process->hold);
        if (process->state == PROCESS_CREATED)
            process->state = PROCESS_RUNNING;
        exits_wait(self->manager, process);
    }
    request_answer(self->request, &(msg_started_t){.pid = pid});
    free(self);
}

static void start_failed(starting_t *self, process_t *process)
{
    if (process)
        process->is_starting = false;
    request_fail(self->request, &self->failure);
    free(self);
}

/* The shim's answer was lost or means nothing, or it refused because a predecessor's Start came
 * before ours. A process starts once: if it has, this request did it. */
static void on_state_after(void *arg, const status_t *st, process_t *process)
{
    starting_t *self = arg;
    bool has_started = !st->code && process && process->pid && process->state != PROCESS_CREATED &&
                       process->state != PROCESS_UNKNOWN;
    if (has_started)
        start_succeeded(self, process, process->pid);
    else
        start_failed(self, process);
}

static void on_started(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    starting_t *self = arg;
    process_t *process = started_process(self);
    self->failure = *st;
    Containerd__Task__V2__StartResponse *answer =
        st->code ? NULL : containerd__task__v2__start_response__unpack(NULL, size, payload);
    if (!st->code && !answer)
        status_set(&self->failure, STATUS_INTERNAL, "Start: undecodable answer");
    if (answer) {
        if (process)
            task_heard(process->task);
        start_succeeded(self, process, answer->pid);
    } else if (process && process->task->shim && status_is_uncertain(self->failure.code)) {
        state_ask(self->manager, process, self->manager->timeouts.state, on_state_after, self);
    } else {
        start_failed(self, process);
    }
    containerd__task__v2__start_response__free_unpacked(answer, NULL);
}

HANDLER(task_start)
{
    manager_t *manager = self;
    const msg_task_start_t *start = ask;
    process_t *process = manager_find(manager, request, ask, start->id, start->exec_id);
    if (!process)
        return;
    bool has_started = process->state != PROCESS_CREATED && process->state != PROCESS_UNKNOWN;
    if (request_is_redelivered(request) && has_started) {
        request_answer(request, &(msg_started_t){.pid = process->pid});
        return;
    }
    if (!call_check_state(request, process, PROCESS_CREATED, "start"))
        return;
    if (process->is_starting) {
        manager_fail(request, STATUS_FAILED_PRECONDITION, "cannot start %s: it is being started",
                     process->exec_id[0] ? process->exec_id : process->task->id);
        return;
    }
    process->is_starting = true;
    starting_t *starting = zmalloc(sizeof *starting);
    *starting = (starting_t){.manager = manager, .request = request};
    memcpy(starting->ns, process->task->ns, sizeof starting->ns);
    memcpy(starting->id, process->task->id, sizeof starting->id);
    memcpy(starting->exec_id, process->exec_id, sizeof starting->exec_id);
    memcpy(starting->incarnation, process->task->incarnation, sizeof starting->incarnation);
    Containerd__Task__V2__StartRequest message = CONTAINERD__TASK__V2__START_REQUEST__INIT;
    message.id = starting->id;
    message.exec_id = starting->exec_id;
    shim_call(process->task->shim, "Start", &message.base, manager->timeouts.call, starting->ns,
              on_started, starting);
}

/* kill -------------------------------------------------------------------------------------------
 */

HANDLER(task_kill)
{
    const msg_task_kill_t *kill = ask;
    process_t *process = manager_find(self, request, ask, kill->id, kill->exec_id);
    if (!process)
        return;
    if (request_is_redelivered(request) && kill->signal != SIGNAL_KILL) {
        manager_fail(request, STATUS_UNAVAILABLE,
                     "task.kill: the worker died, whether signal %u was sent is not known",
                     kill->signal);
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
    Containerd__Task__V2__KillRequest message = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.signal = kill->signal;
    message.all = kill->all;
    call_shim(self, request, process, "Kill", &message.base, call_finish_empty);
}

/* pause, resume ----------------------------------------------------------------------------------
 */

static void finish_pause(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    if (process && process->state == PROCESS_RUNNING)
        process->state = PROCESS_PAUSED;
    call_finish_empty(call, process, payload, size);
}

static void finish_resume(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    if (process && process->state == PROCESS_PAUSED)
        process->state = PROCESS_RUNNING;
    call_finish_empty(call, process, payload, size);
}

HANDLER(task_pause)
{
    process_t *init = manager_find(self, request, ask, ((const msg_task_pause_t *)ask)->id, NULL);
    if (!init)
        return;
    if (request_is_redelivered(request) && init->state == PROCESS_PAUSED) {
        request_answer(request, NULL);
        return;
    }
    if (!call_check_state(request, init, PROCESS_RUNNING, "pause"))
        return;
    Containerd__Task__V2__PauseRequest message = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
    message.id = init->task->id;
    call_shim_changing(self, request, init, "Pause", &message.base, finish_pause);
}

HANDLER(task_resume)
{
    process_t *init = manager_find(self, request, ask, ((const msg_task_resume_t *)ask)->id, NULL);
    if (!init)
        return;
    if (request_is_redelivered(request) && init->state == PROCESS_RUNNING) {
        request_answer(request, NULL);
        return;
    }
    if (!call_check_state(request, init, PROCESS_PAUSED, "resume"))
        return;
    Containerd__Task__V2__ResumeRequest message = CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;
    message.id = init->task->id;
    call_shim_changing(self, request, init, "Resume", &message.base, finish_resume);
}

/* terminal and input -----------------------------------------------------------------------------
 */

HANDLER(task_resize)
{
    const msg_task_resize_t *resize = ask;
    process_t *process = manager_find(self, request, ask, resize->id, resize->exec_id);
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
    process_t *process = manager_find(self, request, ask, close_io->id, close_io->exec_id);
    if (!process)
        return;
    Containerd__Task__V2__CloseIORequest message = CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.stdin = close_io->stdin;
    call_shim(self, request, process, "CloseIO", &message.base, call_finish_empty);
}
