/* task.get and task.list, and asking shims for the state of their processes. */
#include "workers/shim/state.h"

#include "workers/shim/orphan.h"

#include "common/filter.h"
#include "common/log.h"

#include "common/proto/task.pb-c.h"

/* A task that was not heard of for this long is asked again when tasks are listed. */
#define FRESH_MS 5000

typedef struct asked {
    process_ref_t ref;
    state_told_t *told;
    void *arg;
} asked_t;

static void take(manager_t *self, process_t *process,
                 const Containerd__Task__V2__StateResponse *state)
{
    process_set_stdio(process, state->stdin, state->stdout, state->stderr, state->terminal);
    if (process->has_exited)
        return;
    process->state = (process_state_t)state->status;
    if (process->state == PROCESS_STOPPED)
        process->pid = state->pid;
    else if (state->pid)
        process_started(process, state->pid);
    int64_t at = exits_time(state->exited_at);
    if (process->state == PROCESS_STOPPED && at)
        exits_record(self, process,
                     &(exit_news_t){.status = state->exit_status, .at = at, .source = "state"});
}

static void on_state(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE asked_t *asked = arg;
    process_t *process = process_ref_find(&asked->ref);
    status_t outcome = *st;
    if (!outcome.code) {
        Containerd__Task__V2__StateResponse *state =
            containerd__task__v2__state_response__unpack(NULL, size, payload);
        if (!state || (unsigned)state->status > (unsigned)PROCESS_PAUSING)
            status_set(&outcome, STATUS_INTERNAL, "State: undecodable answer");
        else if (process)
            take(asked->ref.manager, process, state);
        containerd__task__v2__state_response__free_unpacked(state, NULL);
    }
    bool is_heard = !outcome.code || outcome.code == STATUS_NOT_FOUND;
    if (process && is_heard)
        task_heard(process->task);
    asked->told(asked->arg, &outcome, process);
}

void state_ask(process_t *process, int timeout_ms, state_told_t *told, void *arg)
{
    task_t *task = process->task;
    asked_t *asked = zmalloc(sizeof *asked);
    *asked = (asked_t){.ref = process_ref(process), .told = told, .arg = arg};
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    request.id = asked->ref.id;
    request.exec_id = asked->ref.exec_id;
    shim_call(task->shim, "State", &request.base, timeout_ms, asked->ref.ns, on_state, asked);
}

static void on_refreshed(void *arg, const status_t *st, process_t *process)
{
    (void)arg;
    if (!process)
        return;
    process->is_refreshing = false;
    if (st->code && st->code != STATUS_NOT_FOUND)
        process->task->unresponsive = true;
}

void state_refresh(process_t *process)
{
    if (process->is_refreshing || process->has_exited || !process->task->shim)
        return;
    process->is_refreshing = true;
    state_ask(process, process->task->manager->timeouts.state, on_refreshed, NULL);
}

/* task.get ----------------------------------------------------------------------------------------
 */

static void answer_picture(request_t *request, const process_t *process)
{
    msg_process_t picture;
    process_describe(process, &picture);
    request_answer(request, &picture);
}

static void on_asked(void *arg, const status_t *st, process_t *process)
{
    request_t *request = arg;
    if (!process || (st->code == STATUS_NOT_FOUND && process->exec_id[0])) {
        manager_fail(request, STATUS_NOT_FOUND, "process: not found");
        return;
    }
    /* Slow is not dead: the last known state is told, with its age. */
    if (st->code && st->code != STATUS_NOT_FOUND)
        process->task->unresponsive = true;
    answer_picture(request, process);
}

HANDLER(task_get)
{
    manager_t *manager = self;
    const msg_task_get_t *get = ask;
    process_t *process = manager_find(manager, request, get->id, get->exec_id);
    if (!process)
        return;
    bool is_known =
        process->has_exited || process->task->phase != TASK_LIVE || !process->task->shim;
    if (is_known)
        answer_picture(request, process);
    else
        state_ask(process, manager->timeouts.state, on_asked, request);
}

/* task.list ---------------------------------------------------------------------------------------
 */

static int compare_pictures(const void *a, const void *b)
{
    const msg_process_t *left = a, *right = b;
    int order = strcmp(left->ns, right->ns);
    return order ? order : strcmp(left->id, right->id);
}

/* Nobody waits for a shim here: those that were not heard of for a while are asked now, for the
 * next list. */
HANDLER(task_list)
{
    manager_t *manager = self;
    const msg_task_list_t *list = ask;
    const char *ns = list->all ? NULL : request_require_ns(request);
    if (!list->all && !ns)
        return;
    status_t st;
    AUTO(filter)
    filter = NULL;
    if (filter_parse(&list->filters, &filter, &st)) {
        request_fail(request, &st);
        return;
    }
    size_t count = 0;
    int64_t stale = util_now_ms() - FRESH_MS;
    msg_process_t *pictures = zmalloc((task_table_size(manager->tasks) + 1) * sizeof *pictures);
    for (task_t *t = task_table_first(manager->tasks); t; t = task_table_next(manager->tasks)) {
        bool is_shown = list->under_way || (t->phase != TASK_CREATING && t->phase != TASK_CLEANING);
        if (!is_shown || (ns && strcmp(t->ns, ns)))
            continue;
        orphan_look_at_start(t);
        process_describe(&t->init, &pictures[count]);
        count += filter_match_record(filter, MSG_process, &pictures[count]);
        if (t->phase == TASK_LIVE && t->heard_ms < stale)
            state_refresh(&t->init);
    }
    qsort(pictures, count, sizeof *pictures, compare_pictures);
    if (filter_status(filter, &st))
        request_fail(request, &st);
    else
        request_answer(request, &(msg_processes_t){.tasks = {.items = pictures, .count = count}});
    free(pictures);
}
