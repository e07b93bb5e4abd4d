/* A client's stop, which wins against every restart. */
#include "workers/shim/restart_internal.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/shim/record.h"

#include <signal.h>

#define MARK "stopped.json"

/* Runs -------------------------------------------------------------------------------------------
 */

void restart_mark_stopped(task_t *task, const request_t *request)
{
    const char *life = task->manager->life;
    status_t st;
    if (!strcmp(task->stopped_in, life))
        return;
    snprintf(task->stopped_in, sizeof task->stopped_in, "%s", life);
    task->stopper = *request_id(request);
    json_t *mark = json_pack("{s:s}", "life", life);
    if (task->bundle && record_write_json(task->bundle, MARK, mark, &st))
        log_error("%s: note that it is stopped: %s", task->key, st.text);
}

void restart_load_mark(task_t *task)
{
    json_t *mark = NULL;
    status_t st;
    if (record_read_json(task->bundle, MARK, &mark, &st))
        return;
    const char *life = json_string_value(json_object_get(mark, "life"));
    snprintf(task->stopped_in, sizeof task->stopped_in, "%s", life ? life : "");
    json_decref(mark);
}

const char *restart_stopped_in(const task_t *task)
{
    return task->stopped_in[0] ? task->stopped_in : NULL;
}

bool restart_is_stop(const msg_task_kill_t *kill)
{
    return !kill->exec_id && (kill->stop || kill->signal == SIGKILL || kill->signal == SIGTERM);
}

/* One that has ended meanwhile is as the client wants it; one that could not be reached may have
 * got the signal. */
static bool is_refusal(uint32_t status)
{
    return status == STATUS_UNKNOWN ||
           (status && status != STATUS_NOT_FOUND && !status_is_uncertain((status_code_t)status));
}

static void take_back(task_t *task, const request_t *request)
{
    bool is_its_own =
        task->stopped_in[0] && !memcmp(&task->stopper, request_id(request), sizeof task->stopper);
    if (!is_its_own)
        return;
    task->stopped_in[0] = '\0';
    if (task->bundle)
        record_remove(task->bundle, MARK);
}

void restart_on_kill_outcome(manager_t *manager, const request_t *request,
                             msg_request_record_t *outcome)
{
    const msg_task_kill_t *kill = request_ask(request);
    const char *ns = request_ns(request);
    task_t *task = ns ? task_table_find(manager->tasks, ns, kill->id) : NULL;
    if (!restart_is_stop(kill) || !task)
        return;
    if (is_refusal(outcome->status)) {
        take_back(task, request);
    } else if (!outcome->status && begun_has(&task->begun, request_id(request), BEGUN_DONE)) {
        restart_mark_stopped(task, request);
        outcome->stopped = task->stopped_in;
        outcome->incarnation = task->incarnation;
    }
}

/* Restarts ---------------------------------------------------------------------------------------
 */

/* What is left of a stop when the restart is off: nothing, unless a task was begun. */
static void serve(manager_t *manager, request_t *request, const char *ns, const char *id)
{
    const task_t *task = task_table_find(manager->tasks, ns, id);
    bool kills = request_method(request) == MSG_task_kill;
    bool is_there = task && task->phase != TASK_CLEANING;
    bool is_going = is_there && task->phase == TASK_DELETING; /* by what the restart undoes */
    if (kills && (!is_there || is_going || task->init.has_exited))
        request_answer(request, NULL);
    else if (kills)
        on_task_kill(manager, request, request_ask(request));
    else if (is_going)
        zlistx_add_end(task->deleters, request);
    else if (is_there)
        on_task_delete(manager, request, request_ask(request));
    else
        exits_answer_deleted(manager, request, id, NULL);
}

/* It stays in the table until the stop is noted, so that nobody takes it up again before. */
static void on_given_up(void *arg, const status_t *st, const void *answer)
{
    restart_t *self = restart_answered(arg, st);
    request_t *request;
    (void)answer;
    if (!self)
        return;
    if (st->code)
        log_error("restart %s: give up: %s", self->key, st->text);
    manager_t *manager = self->manager;
    zlistx_t *stoppers = TAKE(self->stoppers);
    restart_asked_t name;
    memcpy(name.ns, self->ns, sizeof name.ns);
    memcpy(name.id, self->id, sizeof name.id);
    restart_remove(self);
    while ((request = zlistx_detach(stoppers, NULL)))
        serve(manager, request, name.ns, name.id);
    zlistx_destroy(&stoppers);
}

void restart_give_up(restart_t *self)
{
    const msg_restart_note_t message = {.id = self->id,
                                        .pending = self->run,
                                        .attempt = self->attempt,
                                        .stopped = self->manager->life};
    log_info("restart %s: given up: it was stopped", self->key);
    self->is_stopped = true;
    io_timer_stop(self->manager->io, &self->timer);
    restart_ask(self, MSG_restart_note, &message, -1, NULL, on_given_up);
}

static bool is_own(const restart_t *self, const task_t *task, const request_t *request)
{
    if (request_method(request) != MSG_task_delete)
        return false;
    return restart_is_delete_of(self->run, request) ||
           (task && restart_is_own_delete(task, request));
}

bool restart_stop(manager_t *manager, request_t *request, const char *id)
{
    const char *ns = request_ns(request);
    restart_t *self = ns ? restart_find(manager, ns, id) : NULL;
    if (!self || is_own(self, task_table_find(manager->tasks, ns, id), request))
        return false;
    self->is_stopped = true;
    zlistx_add_end(self->stoppers, request);
    if (!self->is_busy)
        restart_give_up(self);
    return true;
}
