/* Earlier outcomes of requests. */
#include "workers/shim/outcome.h"

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
    bool is_here = task && (task->phase == TASK_LIVE || task->phase == TASK_ORPHANED);
    if (request_method(request) == MSG_task_create) {
        worker_looked_up(request, NULL);
    } else if (is_here && !begun_has(&task->begun, request_id(request), BEGUN_SEEN)) {
        begun_add(&task->begun, task->bundle, request_id(request), BEGUN_SEEN);
        worker_looked_up(request, NULL);
    } else {
        worker_lookup_remote(request);
    }
}

static void record(void *arg, request_t *request, const msg_request_record_t *outcome)
{
    (void)arg;
    worker_record_remote(request, outcome);
}

const worker_journal_t outcome_journal = {.lookup = lookup, .record = record};
