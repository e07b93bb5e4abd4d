/* An exec may end before its start is known. Its exit record then tells that it has run. */
#include "workers/shim/start_ended.h"

#include "common/util.h"
#include "workers/shim/foreign.h"

typedef struct ended {
    request_t *request;
    int64_t sent_at;
    status_t failure;
} ended_t;

bool start_ended_is_proof(const msg_exited_t *exited, int64_t sent_at)
{
    return exited->pid && exited->exited_at >= sent_at;
}

static void on_exit_record(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE ended_t *self = arg;
    const msg_exited_t *exited = answer;
    if (!st->code && start_ended_is_proof(exited, self->sent_at))
        request_answer(self->request, &(msg_started_t){.pid = exited->pid});
    else
        foreign_fail(self->request, &self->failure);
}

void start_ended(const process_t *exec, request_t *request, const status_t *failure)
{
    ended_t *self = zmalloc(sizeof *self);
    *self = (ended_t){.request = request, .sent_at = exec->sent_at, .failure = *failure};
    const msg_exit_get_t ask = {.id = exec->task->id, .exec_id = exec->exec_id};
    link_ask(exec->task->manager->link, MSG_exit_get, &ask, exec->task->ns, 0, NULL, on_exit_record,
             self);
}
