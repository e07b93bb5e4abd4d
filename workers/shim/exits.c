/* How processes end: one Wait with the shim for each, the exit record, and those who wait for it.
 */
#include "common/log.h"
#include "common/proc.h"
#include "workers/shim/manager.h"
#include "workers/shim/orphan.h"
#include "workers/shim/restart.h"
#include "workers/shim/runtime.h"
#include "workers/shim/state.h"

#include "common/proto/task.pb-c.h"

#include <errno.h>
#include <sys/epoll.h>

#define LOOK_FIRST_MS 2000  /* between looks at a process that somebody waits for, doubling */
#define LOOK_LAST_MS  60000 /* up to this */
#define AGAIN_MS      1000  /* before a Wait or a record that failed is tried again */
#define NS_PER_SECOND 1000000000

static process_ref_t *ref_new(const process_t *process)
{
    process_ref_t *ref = zmalloc(sizeof *ref);
    *ref = process_ref(process);
    return ref;
}

int64_t exits_time(const Google__Protobuf__Timestamp *at)
{
    return at && at->seconds > 0 ? at->seconds * NS_PER_SECOND + at->nanos : 0;
}

void exits_describe(const process_t *process, msg_exited_t *ret)
{
    *ret = (msg_exited_t){.pid = process->pid,
                          .exit_status = process->exit_status,
                          .exited_at = process->exited_at,
                          .unknown = process->exit_why != NULL,
                          .why = process->exit_why};
}

/* The record --------------------------------------------------------------------------------------
 */

static void answer_waiters(process_t *process)
{
    msg_exited_t exited;
    request_t *request;
    exits_describe(process, &exited);
    while ((request = zlistx_detach(process->waiters, NULL)))
        request_answer(request, &exited);
}

static void send_record(manager_t *self, process_t *process);

/* Nobody is told of an exit before it is recorded. A journal that cannot take it, for its disk is
 * full, is asked until it can. */
static void on_recorded(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE process_ref_t *watch = arg;
    process_t *process = process_ref_find(watch);
    bool is_refused = st->code == STATUS_NOT_FOUND || st->code == STATUS_INVALID_ARGUMENT;
    if (!st->code)
        restart_due(watch->manager, answer);
    if (!process)
        return;
    if (st->code)
        log_line(complaint_level(&process->untold, st->code, LOG_LEVEL_ERROR),
                 "%s/%s: exit record: %s", watch->ns, watch->id, st->text);
    if (st->code && !is_refused) {
        io_timer_in(watch->manager->io, &process->again, AGAIN_MS);
        return;
    }
    process->exit_recorded = true;
    answer_waiters(process);
    exec_deadline_resume(process);
    if (process->task->phase == TASK_ORPHANED && process == &process->task->init)
        orphan_ended(watch->manager, process->task);
}

static void send_record(manager_t *self, process_t *process)
{
    msg_incarnation_exit_t ask = {.id = process->task->id,
                                  .incarnation = process->task->incarnation,
                                  .exec_id = process->exec_id[0] ? process->exec_id : NULL,
                                  .pid = process->pid,
                                  .exit_status = process->exit_status,
                                  .exited_at = process->exited_at,
                                  .unknown = process->exit_why != NULL,
                                  .why = process->exit_why,
                                  .source = process->exit_source,
                                  .oom_kills = process->oom_kills,
                                  .stopped = restart_stopped_in(process->task),
                                  .unstarted = process->is_unstarted};
    link_ask(self->link, MSG_incarnation_exit, &ask, process->task->ns, -1, NULL, on_recorded,
             ref_new(process));
}

void exits_record(manager_t *self, process_t *process, const exit_news_t *news)
{
    if (process->has_exited)
        return;
    process->has_exited = true;
    process->is_unstarted =
        process->state == PROCESS_CREATED && !process->was_started && !process->is_adopted;
    process->state = PROCESS_STOPPED;
    process->exit_status = news->status;
    process->exited_at = news->at;
    process->exit_source = news->source;
    process->exit_why = news->why;
    if (news->status == KILLED && !news->why)
        process->oom_kills = task_new_oom_kills(process->task);
    send_record(self, process);
}

void exits_recorded(process_t *process, const msg_exited_t *exited)
{
    process->has_exited = process->exit_recorded = true;
    process->state = PROCESS_STOPPED;
    process->pid = exited->pid;
    process->exit_status = exited->exit_status;
    process->exited_at = exited->exited_at;
    answer_waiters(process);
}

/* Wait --------------------------------------------------------------------------------------------
 */

static void on_waited(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE process_ref_t *watch = arg;
    process_t *process = process_ref_find(watch);
    if (!process)
        return;
    process->wait_pending = false;
    if (st->code == STATUS_UNAVAILABLE)
        return; /* the connection is gone: the shim's end or its return sees to it */
    Containerd__Task__V2__WaitResponse *answer =
        st->code ? NULL : containerd__task__v2__wait_response__unpack(NULL, size, payload);
    int64_t at = answer ? exits_time(answer->exited_at) : 0;
    if (at)
        exits_record(watch->manager, process,
                     &(exit_news_t){.status = answer->exit_status, .at = at, .source = "wait"});
    else if (answer && process->exec_id[0])
        log_debug("%s/%s: exec %s did not start", watch->ns, watch->id, watch->exec_id);
    else {
        log_warn("%s/%s: Wait: %s", watch->ns, watch->id, st->code ? st->text : "no time of exit");
        io_timer_in(watch->manager->io, &process->again, AGAIN_MS);
    }
    containerd__task__v2__wait_response__free_unpacked(answer, NULL);
}

void exits_wait(process_t *process)
{
    if (process->wait_pending || process->has_exited || !process->task->shim)
        return;
    Containerd__Task__V2__WaitRequest request = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
    request.id = process->task->id;
    request.exec_id = process->exec_id;
    process->wait_pending = true;
    shim_call(process->task->shim, "Wait", &request.base, 0, process->task->ns, on_waited,
              ref_new(process));
}

static void on_end_seen(void *arg, int fd, uint32_t events)
{
    process_t *process = arg;
    (void)events;
    io_set_remove(process->task->manager->io, fd);
    exits_wait(process);
}

/* runc's shims are the parents of what they tell the pids of, reap it, and know its end then. What
 * the pid of another runtime stands for is not known. */
static bool end_is_seen(const process_t *process)
{
    const task_t *task = process->task;
    return process->pidfd >= 0 && runtime_is_runc(task->runtime) &&
           proc_parent((pid_t)process->pid) == (pid_t)shim_endpoint(task->shim)->shim_pid;
}

static void wait_again(process_t *process)
{
    io_set_t *io = process->task->manager->io;
    if (process->wait_pending || process->has_exited)
        return;
    if (!end_is_seen(process) ||
        (io_set_add(io, process->pidfd, EPOLLIN, on_end_seen, process) && errno != EEXIST))
        exits_wait(process);
}

void exits_wait_again(task_t *task)
{
    if (!task->shim || task->phase == TASK_CREATING)
        return;
    wait_again(&task->init);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        if (exec->state == PROCESS_RUNNING)
            wait_again(exec);
}

/* The shim may have said that it knows no such process, or said nothing of use: State tells more
 * than Wait then. */
void exits_again(void *arg)
{
    process_t *process = arg;
    manager_t *self = process->task->manager;
    if (process->has_exited && !process->exit_recorded)
        send_record(self, process);
    else if (!process->has_exited && process->task->phase == TASK_ORPHANED)
        orphan_look_again(process);
    else if (!process->has_exited && process->task->phase == TASK_LIVE) {
        state_refresh(process);
        exits_wait(process);
    }
}

/* Who waits ---------------------------------------------------------------------------------------
 */

void exits_add_waiter(process_t *process, request_t *request)
{
    manager_t *self = process->task->manager;
    if (request_end_forgotten(request))
        return;
    zlistx_add_end(process->waiters, request);
    if (process->exit_recorded)
        answer_waiters(process);
    else if (!process->look.is_set) {
        process->look_ms = LOOK_FIRST_MS;
        io_timer_in(self->io, &process->look, process->look_ms);
    }
}

bool exits_forget(void *arg, request_t *request)
{
    const manager_t *self = arg;
    if (request_method(request) != MSG_task_wait)
        return false;
    const msg_task_wait_t *wait = request_ask(request);
    task_t *task = task_table_find(self->tasks, request_ns(request), wait->id);
    process_t *process = task ? task_process(task, wait->exec_id) : NULL;
    void *place = process ? zlistx_find(process->waiters, request) : NULL;
    return place && zlistx_detach(process->waiters, place);
}

/* A shim whose Wait is never answered may still tell the state. */
void exits_look(void *arg)
{
    process_t *process = arg;
    manager_t *self = process->task->manager;
    if (process->has_exited || zlistx_size(process->waiters) == 0)
        return;
    if (process->task->phase == TASK_LIVE && process->state != PROCESS_CREATED)
        state_refresh(process);
    process->look_ms = process->look_ms * 2 < LOOK_LAST_MS ? process->look_ms * 2 : LOOK_LAST_MS;
    io_timer_in(self->io, &process->look, process->look_ms);
}

void exits_hand_over(manager_t *self, process_t *process)
{
    request_t *request;
    while ((request = zlistx_detach(process->waiters, NULL)))
        exits_answer_deleted(self, request, process->task->id,
                             process->exec_id[0] ? process->exec_id : NULL);
}

HANDLER(task_wait)
{
    manager_t *manager = self;
    const msg_task_wait_t *wait = ask;
    const char *ns = request_require_ns(request);
    if (!ns)
        return;
    task_t *task = task_table_find(manager->tasks, ns, wait->id);
    bool is_there = task && task->phase != TASK_CLEANING;
    process_t *process = is_there ? task_process(task, wait->exec_id) : NULL;
    if (task && task->phase == TASK_LOADING)
        manager_park(task, request, PARK_MUTE);
    else if (process)
        exits_add_waiter(process, request);
    else
        exits_answer_deleted(manager, request, wait->id, wait->exec_id);
}
