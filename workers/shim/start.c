/* task.start. A process starts once: Start is not sent again before it is certain that an earlier
 * one is neither under way nor has failed. Real shims (1.6) run an exec twice that is started after
 * a failed start, and crash when it ends. */
#include "workers/shim/call.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/foreign.h"
#include "workers/shim/in_flight.h"
#include "workers/shim/outcome.h"
#include "workers/shim/start_ended.h"
#include "workers/shim/state.h"

#include "common/log.h"
#include "common/proto/task.pb-c.h"

/* What a predecessor sent is in the shim's hands by then. */
#define SETTLE_MS 300
#define LOOK_MS   50  /* between looks for an OCI runtime at work */
#define PROBE_MS  300 /* a Wait for a start that has failed is answered at once */

typedef struct starting {
    process_ref_t ref;
    request_t *request;
    status_t failure;
    io_timer_t look;
    int64_t quiet_since; /* monotonic us; since no runtime was seen at work */
    bool is_second;      /* try */
} starting_t;

static void succeed(starting_t *self, process_t *process, uint32_t pid)
{
    if (process) {
        process->is_starting = false;
        process_started(process, pid);
        stdio_release(&process->hold);
        if (process->state == PROCESS_CREATED)
            process->state = PROCESS_RUNNING;
        exec_deadline_resume(process);
        exits_wait(process);
    }
    request_answer(self->request, &(msg_started_t){.pid = pid});
    free(self);
}

static bool is_starter(const process_t *process, const request_t *request)
{
    return !memcmp(&process->starter, request_id(request), MSG_UUID_SIZE);
}

static bool has_started(const process_t *process)
{
    return process->state != PROCESS_CREATED && process->state != PROCESS_UNKNOWN;
}

static void fail(starting_t *self, process_t *process)
{
    if (process) {
        process->is_starting = false;
        process->start_failed = true;
        if (has_started(process) || status_is_uncertain(self->failure.code))
            exec_deadline_resume(process); /* it may run */
        else
            exec_deadline_drop(process);
    }
    bool is_lost = self->failure.code == STATUS_UNAVAILABLE && self->ref.exec_id[0];
    if (is_lost && process && is_starter(process, self->request))
        start_ended(process, self->request, &self->failure);
    else
        foreign_fail(self->request, &self->failure);
    free(self);
}

static void fail_with(starting_t *self, process_t *process, status_code_t code, const char *text)
{
    status_set(&self->failure, code, "%s", text);
    fail(self, process);
}

/* Start -------------------------------------------------------------------------------------------
 */

static void on_look(void *arg);

/* Whether the state after a Start without a clear answer shows that it came off. One that has ended
 * may have been killed before: a shim that says that the start has failed is believed then. */
static bool came_off(const process_t *process, const status_t *failure)
{
    bool is_refused = failure->code == STATUS_UNKNOWN && process->state == PROCESS_STOPPED;
    return process->pid && has_started(process) && !is_refused;
}

/* The shim's answer was lost or means nothing. */
static void on_state_after(void *arg, const status_t *st, process_t *process)
{
    starting_t *self = arg;
    bool is_known = !st->code && process;
    if (is_known && came_off(process, &self->failure)) {
        succeed(self, process, process->pid);
    } else if (is_known && self->failure.code == STATUS_UNAVAILABLE && !self->is_second) {
        self->is_second = true; /* the connection was lost with it: it may not have arrived */
        self->quiet_since = util_monotonic_us();
        on_look(self);
    } else {
        fail(self, process);
    }
}

static void on_started(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    starting_t *self = arg;
    process_t *process = process_ref_find(&self->ref);
    self->failure = *st;
    Containerd__Task__V2__StartResponse *answer =
        st->code ? NULL : containerd__task__v2__start_response__unpack(NULL, size, payload);
    if (!st->code && !answer)
        status_set(&self->failure, STATUS_INTERNAL, "Start: undecodable answer");
    if (answer) {
        if (process) {
            task_heard(process->task);
            exec_deadline_begin(process);
        }
        succeed(self, process, answer->pid);
    } else if (process && process->task->shim && status_is_uncertain(self->failure.code)) {
        state_ask(process, self->ref.manager->timeouts.state, on_state_after, self);
    } else {
        fail(self, process);
    }
    containerd__task__v2__start_response__free_unpacked(answer, NULL);
}

/* Which request a process is started for is written down before it is: one of a dead worker's may
 * come again when another has been sent since, and that one alone is answered with the process. And
 * what no Start is written down of has certainly not run. */
static status_code_t note_start(process_t *process, const msg_uuid_t *request, status_t *st)
{
    task_t *task = process->task;
    const bool was_started = process->was_started;
    const msg_uuid_t starter = process->starter;
    const int64_t sent_at = process->sent_at, due = process->deadline.at;
    process->was_started = true;
    process->starter = *request;
    process->sent_at = util_now_ns();
    exec_deadline_begin(process); /* until it is known better when it began to run */
    if (process->exec_id[0] ? exec_record_write(task->bundle, process, st)
                            : task_write_init(task, st)) {
        process->was_started = was_started;
        process->starter = starter;
        process->sent_at = sent_at;
        process->deadline.at = due;
        return st->code;
    }
    return STATUS_OK;
}

/* It can be started when there is room again. */
static void refuse(starting_t *self, process_t *process)
{
    process->is_starting = false;
    status_wrap(&self->failure, "start task %s", self->ref.id);
    request_fail(self->request, &self->failure);
    free(self);
}

static void send_start(starting_t *self, process_t *process)
{
    bool is_noted = process->was_started && is_starter(process, self->request);
    if (!is_noted && note_start(process, request_id(self->request), &self->failure)) {
        refuse(self, process);
        return;
    }
    begun_add(&process->task->begun, process->task->bundle, request_id(self->request), BEGUN_DONE);
    Containerd__Task__V2__StartRequest message = CONTAINERD__TASK__V2__START_REQUEST__INIT;
    message.id = self->ref.id;
    message.exec_id = self->ref.exec_id;
    shim_call(process->task->shim, "Start", &message.base, self->ref.manager->timeouts.call,
              self->ref.ns, on_started, self);
}

/* After a predecessor's death ---------------------------------------------------------------------
 */

/* A Wait for an exec whose start has failed is answered at once, without a time. */
static void on_probed(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    starting_t *self = arg;
    process_t *process = process_ref_find(&self->ref);
    if (!process || !process->task->shim) {
        fail_with(self, process, STATUS_UNAVAILABLE, "its shim has died");
        return;
    }
    if (st->code == STATUS_DEADLINE_EXCEEDED) { /* it waits for a process that was not started */
        send_start(self, process);
        return;
    }
    Containerd__Task__V2__WaitResponse *answer =
        st->code ? NULL : containerd__task__v2__wait_response__unpack(NULL, size, payload);
    int64_t at = answer ? exits_time(answer->exited_at) : 0;
    containerd__task__v2__wait_response__free_unpacked(answer, NULL);
    if (at)
        state_ask(process, self->ref.manager->timeouts.state, on_state_after, self);
    else
        fail_with(self, process, st->code ? st->code : STATUS_UNKNOWN,
                  st->code ? st->text : "its start has failed, or was interrupted");
}

static void probe(starting_t *self, process_t *process)
{
    if (!self->ref.exec_id[0]) { /* the runtime itself refuses to start a container twice */
        send_start(self, process);
        return;
    }
    Containerd__Task__V2__WaitRequest message = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
    message.id = self->ref.id;
    message.exec_id = self->ref.exec_id;
    shim_call(process->task->shim, "Wait", &message.base, PROBE_MS, self->ref.ns, on_probed, self);
}

static void on_state_before(void *arg, const status_t *st, process_t *process)
{
    starting_t *self = arg;
    if (!process || !process->task->shim)
        fail_with(self, process, STATUS_UNAVAILABLE, "its shim has died");
    else if (st->code)
        fail_with(self, process, st->code, st->text);
    else if (!has_started(process))
        probe(self, process);
    else if (is_starter(process, self->request))
        succeed(self, process, process->pid);
    else
        fail_with(self, process, STATUS_FAILED_PRECONDITION, "it is started already");
}

/* Waits until no OCI runtime has been at work on it for a while. */
static void on_look(void *arg)
{
    starting_t *self = arg;
    process_t *process = process_ref_find(&self->ref);
    int64_t now = util_monotonic_us();
    if (!process || !process->task->shim) {
        fail_with(self, process, STATUS_UNAVAILABLE, "its shim has died");
        return;
    }
    if (in_flight_start(process))
        self->quiet_since = now;
    if (now - self->quiet_since < SETTLE_MS * 1000) {
        io_timer_in(self->ref.manager->io, &self->look, LOOK_MS);
        return;
    }
    process->is_adopted = false;
    state_ask(process, self->ref.manager->timeouts.state, on_state_before, self);
}

/* -------------------------------------------------------------------------------------------------
 */

static starting_t *starting_new(request_t *request, const process_t *process)
{
    starting_t *self = zmalloc(sizeof *self);
    *self = (starting_t){
        .ref = process_ref(process), .request = request, .quiet_since = util_monotonic_us()};
    io_timer_init(&self->look, on_look, self);
    return self;
}

/* True after the request has been answered or refused. */
static bool is_settled(request_t *request, process_t *process)
{
    const char *name = process->exec_id[0] ? process->exec_id : process->task->id;
    if (has_started(process) && is_starter(process, request)) {
        request_answer(request, &(msg_started_t){.pid = process->pid});
        return true;
    }
    if (!call_check_state(request, process, PROCESS_CREATED, "start"))
        return true;
    if (process->is_starting)
        manager_fail(request, STATUS_FAILED_PRECONDITION, "cannot start %s: it is being started",
                     name);
    else if (process->start_failed && process->exec_id[0])
        manager_fail(request, STATUS_FAILED_PRECONDITION,
                     "cannot start %s: its start has failed, it can only be deleted", name);
    else
        return false;
    return true;
}

/* True after the request has been answered: it came off, or was sent at least, and its shim was
 * lost since. */
static bool is_answered_orphan(manager_t *manager, request_t *request, const msg_task_start_t *ask)
{
    const char *ns = request_ns(request);
    task_t *task = ns ? task_table_find(manager->tasks, ns, ask->id) : NULL;
    if (!task || task->phase != TASK_ORPHANED)
        return false;
    process_t *process = task_process(task, ask->exec_id);
    bool is_own = process && is_starter(process, request);
    bool is_lost =
        is_own ? process->exec_id[0] && !process->pid : !process && manager_is_again(task, request);
    status_t lost;
    status_set(&lost, STATUS_UNAVAILABLE, "task.start: exec %s of task %s was lost with its shim",
               ask->exec_id, ask->id);
    if (is_own && is_lost)
        start_ended(process, request, &lost);
    else if (is_lost)
        outcome_or_fail(manager, request, &lost);
    if (is_lost)
        return true;
    if (!is_own || !outcome_is_started(process))
        return false;
    request_answer(request, &(msg_started_t){.pid = process->pid});
    return true;
}

HANDLER(task_start)
{
    manager_t *manager = self;
    const msg_task_start_t *start = ask;
    if (is_answered_orphan(manager, request, start))
        return;
    process_t *process = manager_find(manager, request, start->id, start->exec_id);
    if (!process || is_settled(request, process))
        return;
    process->is_starting = true;
    starting_t *starting = starting_new(request, process);
    if (process->is_adopted)
        on_look(starting);
    else
        send_start(starting, process);
}
