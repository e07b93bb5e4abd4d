/* Execs that are killed and deleted at their deadline. Each tick does what is next, so that it does
 * not matter who died after which. */
#include "workers/shim/exec_deadline.h"

#include "common/log.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/manager.h"
#include "workers/shim/orphan.h"
#include "workers/shim/state.h"

#include "common/proto/task.pb-c.h"

#include <signal.h>

#define US_PER_MS      1000
#define AGAIN_FIRST_MS 200   /* between tries, doubling */
#define AGAIN_LAST_MS  30000 /* up to this */

void exec_deadline_begin(process_t *process)
{
    exec_deadline_t *self = &process->deadline;
    if (self->allowed_ms > 0)
        self->at = util_monotonic_us() + self->allowed_ms * US_PER_MS;
}

static void write_down(const process_t *process)
{
    status_t st;
    if (exec_record_write(process->task->bundle, process, &st))
        log_warn("%s: exec %s: %s", process->task->key, process->exec_id, st.text);
}

void exec_deadline_drop(process_t *process)
{
    exec_deadline_t *self = &process->deadline;
    if (!self->at)
        return;
    self->at = 0;
    io_timer_stop(process->task->manager->io, &self->timer);
    write_down(process);
}

void exec_deadline_resume(process_t *process)
{
    exec_deadline_t *self = &process->deadline;
    if (!self->at)
        return;
    if (process->has_exited && !self->is_over)
        exec_deadline_drop(process);
    else
        io_timer_at(process->task->manager->io, &self->timer, self->at);
}

void exec_deadline_resume_all(task_t *task)
{
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        exec_deadline_resume(exec);
}

static void again_later(process_t *process)
{
    exec_deadline_t *self = &process->deadline;
    int64_t twice = self->again_ms * 2;
    self->again_ms = !self->again_ms         ? AGAIN_FIRST_MS
                     : twice < AGAIN_LAST_MS ? twice
                                             : AGAIN_LAST_MS;
    io_timer_in(process->task->manager->io, &self->timer, self->again_ms);
}

static void tell_once(process_t *process, const char *what, const status_t *st)
{
    exec_deadline_t *self = &process->deadline;
    if (!self->is_told)
        log_warn("%s: exec %s is past its deadline, and is tried again: %s: %s", process->task->key,
                 process->exec_id, what, st->text);
    self->is_told = true;
}

/* kill --------------------------------------------------------------------------------------------
 */

/* Of one that has ended the exit is on its way, or the shim can tell it. */
static void take_outcome(process_t *process, const status_t *st)
{
    if (st->code && st->code != STATUS_NOT_FOUND)
        tell_once(process, "kill", st);
    if (st->code && process->task->phase == TASK_LIVE)
        state_refresh(process);
    again_later(process);
}

static void on_killed(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE process_ref_t *ref = arg;
    process_t *process = process_ref_find(ref);
    (void)payload;
    (void)size;
    if (!process || !process->deadline.is_killing)
        return;
    process->deadline.is_killing = false;
    if (process->has_exited)
        exec_deadline_resume(process);
    else
        take_outcome(process, st);
}

static void kill_by_shim(process_t *process)
{
    const task_t *task = process->task;
    process_ref_t *ref = zmalloc(sizeof *ref);
    *ref = process_ref(process);
    Containerd__Task__V2__KillRequest message = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
    message.id = ref->id;
    message.exec_id = ref->exec_id;
    message.signal = SIGKILL;
    process->deadline.is_killing = true;
    shim_call(task->shim, "Kill", &message.base, task->manager->timeouts.call, task->ns, on_killed,
              ref);
}

static void kill_it(process_t *process)
{
    status_t st = {.code = STATUS_OK};
    if (process->task->phase == TASK_ORPHANED) {
        orphan_signal(process, SIGKILL, false, &st);
        take_outcome(process, &st);
    } else if (process->task->phase == TASK_LIVE && process->task->shim) {
        kill_by_shim(process);
    } else {
        again_later(process);
    }
}

/* delete ------------------------------------------------------------------------------------------
 */

void exec_deadline_deleted(process_t *process, const status_t *st)
{
    if (!process)
        return;
    tell_once(process, "delete", st);
    again_later(process);
}

/* -------------------------------------------------------------------------------------------------
 */

/* Written down before the kill: who comes after must know by what it has ended. */
static void set_over(process_t *process)
{
    process->deadline.is_over = true;
    log_info("%s: exec %s is killed at its deadline of %lld ms", process->task->key,
             process->exec_id, (long long)process->deadline.allowed_ms);
    write_down(process);
}

void exec_deadline_tick(void *arg)
{
    process_t *process = arg;
    exec_deadline_t *self = &process->deadline;
    task_phase_t phase = process->task->phase;
    bool is_usable = phase == TASK_LIVE || phase == TASK_ORPHANED;
    if (self->is_killing && is_usable && phase != TASK_ORPHANED)
        return; /* its answer goes on */
    if (!is_usable || process->is_starting || process->is_deleting) {
        again_later(process);
        return;
    }
    if (!self->is_over && (process->has_exited || process_is_gone(process)))
        return; /* it was in time; its exit is being found out */
    if (!self->is_over)
        set_over(process);
    if (!process->has_exited)
        kill_it(process);
    else if (process->exit_recorded)
        exec_delete_expired(process);
    /* otherwise the record's answer goes on */
}
