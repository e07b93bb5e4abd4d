/* Earlier outcomes of requests. */
#include "workers/shim/outcome.h"

#include "common/proc.h"
#include "workers/shim/record.h"

#define KEPT_NS ((int64_t)24 * 3600 * 1000000000) /* a request may come again for so long */

typedef struct refusal {
    request_t *request;
    status_t st;
} refusal_t;

static void on_outcome(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE refusal_t *self = arg;
    if (!st->code)
        worker_looked_up(self->request, answer);
    else
        request_fail(self->request, st->code == STATUS_NOT_FOUND ? &self->st : st);
}

void outcome_or_fail(manager_t *self, request_t *request, const status_t *st)
{
    refusal_t *refusal = zmalloc(sizeof *refusal);
    *refusal = (refusal_t){.request = request, .st = *st};
    msg_request_get_t ask = {.id = *request_id(request)};
    link_ask(self->link, MSG_request_get, &ask, NULL, 0, NULL, on_outcome, refusal);
}

/* The container that a method of the service SHIM is about. */
static const char *target_of(const request_t *request)
{
    const msg_type_t *type = msg_type(request_method(request));
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].kind == KIND_ident && !strcmp(type->fields[i].name, "id"))
            return *(const char *const *)((const char *)request_ask(request) +
                                          type->fields[i].offset);
    return NULL;
}

/* What came for this task is written down in its bundle before it is carried out. A create is
 * looked up by incarnation.begin. */
static void lookup(void *arg, request_t *request)
{
    manager_t *self = arg;
    const char *id = target_of(request);
    const char *ns = request_ns(request);
    task_t *task = id && ns ? task_table_find(self->tasks, ns, id) : NULL;
    bool is_known = task && (task->phase == TASK_LIVE || task->phase == TASK_ORPHANED);
    bool is_here = is_known || (task && task->phase == TASK_LOADING && task->bundle);
    bool is_new = is_known && !begun_has(&task->begun, request_id(request), BEGUN_SEEN);
    if (is_here && request_method(request) != MSG_task_create)
        begun_add(&task->begun, task->bundle, request_id(request), BEGUN_SEEN);
    if (is_new || request_method(request) == MSG_task_create)
        worker_looked_up(request, NULL);
    else
        worker_lookup_remote(request);
}

static void record(void *arg, request_t *request, const msg_request_record_t *outcome)
{
    (void)arg;
    worker_record_remote(request, outcome);
}

const worker_journal_t outcome_journal = {.lookup = lookup, .record = record};

/* What a predecessor did ------------------------------------------------------------------------
 */

typedef struct keeping {
    unsigned left; /* answers that are waited for */
    status_t st;
    link_reply_t *done;
    void *arg;
} keeping_t;

static keeping_t *keeping_new(link_reply_t *done, void *arg)
{
    keeping_t *self = zmalloc(sizeof *self);
    *self = (keeping_t){.left = 1, .st = {.code = STATUS_OK}, .done = done, .arg = arg};
    return self;
}

static void on_kept(void *arg, const status_t *st, const void *answer)
{
    keeping_t *self = arg;
    (void)answer;
    if (st->code)
        self->st = *st;
    if (--self->left > 0)
        return;
    self->done(self->arg, &self->st, NULL);
    free(self);
}

static void keep(keeping_t *self, const process_t *process, msg_id_t method, const msg_uuid_t *id)
{
    const task_t *task = process->task;
    const msg_started_t started = {.pid = process->pid};
    static const msg_empty_t nothing;
    msg_id_t kind = msg_type(method)->answer;
    msgpack_sbuffer answer;
    if (!msg_uuid_is_set(id))
        return;
    msgpack_sbuffer_init(&answer);
    msg_encode(kind, kind == MSG_started ? (const void *)&started : &nothing, &answer);
    const msg_request_record_t record = {
        .id = *id,
        .method = msg_type(method)->name,
        .ns = task->ns,
        .answer = {.data = (uint8_t *)answer.data, .size = answer.size},
        .target = task->id,
        .exec_id = process->exec_id[0] ? process->exec_id : NULL};
    self->left++;
    link_ask(task->manager->link, MSG_request_record, &record, NULL, 0, NULL, on_kept, self);
    msgpack_sbuffer_destroy(&answer);
}

/* What a container's first process is until it is started. */
static bool waits_for_start(const process_t *process)
{
    char comm[PROC_COMM_SIZE];
    return !process->has_exited && proc_comm((pid_t)process->pid, comm) &&
           !strncmp(comm, "runc:[", strlen("runc:["));
}

/* Of one whose shim died before it could be asked: a Start was sent, and the process is there. */
static bool is_there(const process_t *process)
{
    return process->was_started && process->start &&
           proc_start_time((pid_t)process->pid) == process->start;
}

bool outcome_is_started(const process_t *process)
{
    bool is_beyond = process->state != PROCESS_CREATED && process->state != PROCESS_UNKNOWN;
    return process->pid && (is_beyond || is_there(process)) && !waits_for_start(process);
}

static void keep_process(keeping_t *self, const process_t *process)
{
    bool is_exec = process->exec_id[0];
    if (!process->is_inherited)
        return;
    if (is_exec ? process->state != PROCESS_UNKNOWN : process->pid > 0)
        keep(self, process, is_exec ? MSG_task_exec : MSG_task_create, &process->request);
    if (outcome_is_started(process))
        keep(self, process, MSG_task_start, &process->starter);
}

/* Outcomes of requests that are older may have been forgotten. */
static bool is_young(const task_t *task)
{
    return task->bundle && record_intent_time(task->bundle) > util_now_ns() - KEPT_NS;
}

void outcome_keep(const process_t *process, link_reply_t *done, void *arg)
{
    keeping_t *self = keeping_new(done, arg);
    if (is_young(process->task))
        keep_process(self, process);
    on_kept(self, &self->st, NULL);
}

void outcome_keep_all(const task_t *task, link_reply_t *done, void *arg)
{
    keeping_t *self = keeping_new(done, arg);
    if (is_young(task)) {
        keep_process(self, &task->init);
        for (const process_t *exec = zhashx_first(task->execs); exec;
             exec = zhashx_next(task->execs))
            keep_process(self, exec);
    }
    on_kept(self, &self->st, NULL);
}
