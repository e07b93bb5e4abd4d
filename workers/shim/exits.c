/* How processes end: one Wait with the shim for each, the exit record, and those who wait for it.
 */
#include "common/log.h"
#include "workers/shim/manager.h"

#include "common/proto/task.pb-c.h"

/* The process is looked up again when an answer comes: it may be gone by then. */
typedef struct watch {
    manager_t *manager;
    char ns[77], id[77], exec_id[77], incarnation[UTIL_UUID_SIZE];
} watch_t;

static watch_t *watch_new(manager_t *self, const process_t *process)
{
    watch_t *watch = zmalloc(sizeof *watch);
    watch->manager = self;
    memcpy(watch->ns, process->task->ns, sizeof watch->ns);
    memcpy(watch->id, process->task->id, sizeof watch->id);
    memcpy(watch->exec_id, process->exec_id, sizeof watch->exec_id);
    memcpy(watch->incarnation, process->task->incarnation, sizeof watch->incarnation);
    return watch;
}

static process_t *watch_process(const watch_t *watch)
{
    task_t *task = task_table_find(watch->manager->tasks, watch->ns, watch->id);
    if (!task || strcmp(task->incarnation, watch->incarnation))
        return NULL;
    return task_process(task, watch->exec_id);
}

static void answer_waiters(process_t *process)
{
    msg_exited_t exited = {
        .pid = process->pid, .exit_status = process->exit_status, .exited_at = process->exited_at};
    request_t *request;
    while ((request = zlistx_detach(process->waiters, NULL)))
        request_answer(request, &exited);
}

static void on_recorded(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE watch_t *watch = arg;
    process_t *process = watch_process(watch);
    (void)answer;
    if (st->code)
        log_error("%s/%s: exit record: %s", watch->ns, watch->id, st->text);
    if (!process)
        return;
    process->exit_recorded = true;
    answer_waiters(process);
}

void exits_record(manager_t *self, process_t *process, uint32_t status, int64_t at, const char *why)
{
    if (process->has_exited)
        return;
    process->has_exited = true;
    process->state = PROCESS_STOPPED;
    process->exit_status = status;
    process->exited_at = at;
    msg_incarnation_exit_t ask = {.id = process->task->id,
                                  .incarnation = process->task->incarnation,
                                  .exec_id = process->exec_id[0] ? process->exec_id : NULL,
                                  .pid = process->pid,
                                  .exit_status = status,
                                  .exited_at = at,
                                  .unknown = why != NULL,
                                  .why = why,
                                  .source = why ? "none" : "wait"};
    link_ask(self->link, MSG_incarnation_exit, &ask, process->task->ns, 0, NULL, on_recorded,
             watch_new(self, process));
}

static void on_waited(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE watch_t *watch = arg;
    process_t *process = watch_process(watch);
    if (!process)
        return;
    process->wait_pending = false;
    if (st->code)
        return; /* the connection is gone: the shim's end or its return sees to it */
    Containerd__Task__V2__WaitResponse *answer =
        containerd__task__v2__wait_response__unpack(NULL, size, payload);
    if (!answer) {
        log_error("%s/%s: Wait: undecodable answer", watch->ns, watch->id);
        return;
    }
    const Google__Protobuf__Timestamp *at = answer->exited_at;
    int64_t time = at && at->seconds > 0 ? at->seconds * 1000000000 + at->nanos : util_now_ns();
    exits_record(watch->manager, process, answer->exit_status, time, NULL);
    containerd__task__v2__wait_response__free_unpacked(answer, NULL);
}

void exits_wait(manager_t *self, process_t *process)
{
    if (process->wait_pending || process->has_exited || !process->task->shim)
        return;
    Containerd__Task__V2__WaitRequest request = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
    request.id = process->task->id;
    request.exec_id = process->exec_id;
    process->wait_pending = true;
    shim_call(process->task->shim, "Wait", &request.base, 0, process->task->ns, on_waited,
              watch_new(self, process));
}

void exits_add_waiter(manager_t *self, process_t *process, request_t *request)
{
    (void)self;
    zlistx_add_end(process->waiters, request);
    if (process->exit_recorded)
        answer_waiters(process);
}

/* A task that was deleted since: its exit record outlives it. */
static void on_exit_record(void *arg, const status_t *st, const void *answer)
{
    request_t *request = arg;
    if (st->code)
        request_fail(request, st);
    else
        request_answer(request, answer);
}

void exits_answer_deleted(manager_t *self, request_t *request, const char *id, const char *exec_id)
{
    msg_exit_get_t ask = {.id = id, .exec_id = exec_id};
    link_ask(self->link, MSG_exit_get, &ask, request_ns(request), 0, NULL, on_exit_record, request);
}

HANDLER(task_wait)
{
    manager_t *manager = self;
    const msg_task_wait_t *wait = ask;
    const char *ns = request_require_ns(request);
    if (!ns)
        return;
    task_t *task = task_table_find(manager->tasks, ns, wait->id);
    process_t *process = task ? task_process(task, wait->exec_id) : NULL;
    if (task && task->phase == TASK_LOADING)
        manager_park(task, request, ask);
    else if (process)
        exits_add_waiter(manager, process, request);
    else
        exits_answer_deleted(manager, request, wait->id, wait->exec_id);
}
