/* task.pause and task.resume. */
#include "workers/shim/call.h"
#include "workers/shim/state.h"

#include "common/proto/task.pb-c.h"

#define SETTLE_LOOK_MS 50 /* between looks at a process that is being paused */

typedef void go_on_t(manager_t *manager, request_t *request, process_t *init);

/* Requests that came while the pause of another, or of a predecessor, was under way. They go on
 * when that has come to its end, whichever. */
struct settling {
    process_ref_t ref;
    zlistx_t *waiting; /* waiting_t, owned; in the order in which they came */
    io_timer_t look;
    int64_t give_up; /* monotonic us */
};

typedef struct waiting {
    request_t *request;
    go_on_t *go_on;
} waiting_t;

static void waiting_destroy(void **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static void wake(settling_t *self, process_t *init, const status_t *st, bool again)
{
    waiting_t *waiting = zlistx_first(self->waiting);
    for (; waiting; waiting = zlistx_next(self->waiting)) {
        bool is_again = init && manager_is_again(init->task, waiting->request);
        if (is_again != again)
            continue;
        if (st->code)
            request_fail(waiting->request, st);
        else
            waiting->go_on(self->ref.manager, waiting->request, init);
    }
}

/* Whose pause it was hears of it before another request changes what came of it. */
static void settle_end(settling_t *self, const status_t *st, process_t *init)
{
    if (init)
        init->task->settling = NULL;
    wake(self, init, st, true);
    wake(self, init, st, false);
    zlistx_destroy(&self->waiting);
    free(self);
}

static void on_settling(void *arg, const status_t *st, process_t *init)
{
    settling_t *self = arg;
    status_t lost;
    bool is_over = !st->code && init && init->state != PROCESS_PAUSING;
    if (!init || !init->task->shim) {
        status_set(&lost, STATUS_UNAVAILABLE, "its shim has died");
        settle_end(self, &lost, init);
    } else if (is_over || st->code || util_monotonic_us() >= self->give_up) {
        settle_end(self, st, init);
    } else {
        io_timer_in(self->ref.manager->io, &self->look, SETTLE_LOOK_MS);
    }
}

static void on_look(void *arg)
{
    settling_t *self = arg;
    process_t *init = process_ref_find(&self->ref);
    if (init && init->task->shim)
        state_ask(init, self->ref.manager->timeouts.state, on_settling, self);
    else
        on_settling(self, &(status_t){.code = STATUS_OK}, init);
}

static settling_t *settling_new(manager_t *manager, const process_t *init)
{
    settling_t *self = zmalloc(sizeof *self);
    int64_t patience = (int64_t)manager->timeouts.call * 1000;
    *self = (settling_t){.ref = process_ref(init),
                         .waiting = zlistx_new(),
                         .give_up = util_monotonic_us() + patience};
    zlistx_set_destructor(self->waiting, waiting_destroy);
    io_timer_init(&self->look, on_look, self);
    io_timer_in(manager->io, &self->look, 0);
    return self;
}

static void settle(manager_t *manager, request_t *request, process_t *init, go_on_t *go_on)
{
    waiting_t *waiting = zmalloc(sizeof *waiting);
    *waiting = (waiting_t){.request = request, .go_on = go_on};
    if (!init->task->settling)
        init->task->settling = settling_new(manager, init);
    zlistx_add_end(init->task->settling->waiting, waiting);
}

static bool is_unsettled(const process_t *init)
{
    return init->state == PROCESS_PAUSING && init->task->phase == TASK_LIVE && init->task->shim;
}

/* pause ------------------------------------------------------------------------------------------
 */

static void finish_pause(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    if (process && process->state == PROCESS_RUNNING)
        process->state = PROCESS_PAUSED;
    call_finish_empty(call, process, payload, size);
}

static void pause_settled(manager_t *manager, request_t *request, process_t *init)
{
    if (manager_is_again(init->task, request) && init->state == PROCESS_PAUSED) {
        request_answer(request, NULL);
        return;
    }
    if (!call_check_state(request, init, PROCESS_RUNNING, "pause"))
        return;
    Containerd__Task__V2__PauseRequest message = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
    message.id = init->task->id;
    call_shim_changing(manager, request, init, "Pause", &message.base, finish_pause);
}

HANDLER(task_pause)
{
    process_t *init = manager_find(self, request, ((const msg_task_pause_t *)ask)->id, NULL);
    if (init && is_unsettled(init))
        settle(self, request, init, pause_settled);
    else if (init)
        pause_settled(self, request, init);
}

/* resume -----------------------------------------------------------------------------------------
 */

static void finish_resume(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    if (process && process->state == PROCESS_PAUSED)
        process->state = PROCESS_RUNNING;
    call_finish_empty(call, process, payload, size);
}

static void resume_settled(manager_t *manager, request_t *request, process_t *init)
{
    if (manager_is_again(init->task, request) && init->state == PROCESS_RUNNING) {
        request_answer(request, NULL);
        return;
    }
    if (!call_check_state(request, init, PROCESS_PAUSED, "resume"))
        return;
    Containerd__Task__V2__ResumeRequest message = CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;
    message.id = init->task->id;
    call_shim_changing(manager, request, init, "Resume", &message.base, finish_resume);
}

HANDLER(task_resume)
{
    process_t *init = manager_find(self, request, ((const msg_task_resume_t *)ask)->id, NULL);
    if (init && is_unsettled(init))
        settle(self, request, init, resume_settled);
    else if (init)
        resume_settled(self, request, init);
}
