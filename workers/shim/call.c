/* Requests that are one call to a shim. */
#include "workers/shim/call.h"

#include "workers/shim/foreign.h"
#include "workers/shim/state.h"

static void on_reply(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE call_t *call = arg;
    process_t *process = process_ref_find(&call->ref);
    if (st->code) {
        if (process && call->changes_state && status_is_uncertain(st->code))
            state_refresh(process);
        foreign_fail(call->request, st);
        return;
    }
    if (process)
        task_heard(process->task);
    call->finish(call, process, payload, size);
}

static void send_call(manager_t *self, request_t *request, const process_t *process,
                      const char *method, const ProtobufCMessage *message, call_finish_t *finish,
                      bool changes_state)
{
    call_t *call = zmalloc(sizeof *call);
    call->ref = process_ref(process);
    call->request = request;
    call->finish = finish;
    call->changes_state = changes_state;
    if (msg_type(request_method(request))->class != CLASS_READ)
        begun_add(&process->task->begun, process->task->bundle, request_id(request), BEGUN_DONE);
    shim_call(process->task->shim, method, message, self->timeouts.call, call->ref.ns, on_reply,
              call);
}

void call_shim(manager_t *self, request_t *request, const process_t *process, const char *method,
               const ProtobufCMessage *message, call_finish_t *finish)
{
    send_call(self, request, process, method, message, finish, false);
}

void call_shim_changing(manager_t *self, request_t *request, const process_t *process,
                        const char *method, const ProtobufCMessage *message, call_finish_t *finish)
{
    send_call(self, request, process, method, message, finish, true);
}

void call_finish_empty(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    (void)process;
    (void)payload;
    (void)size;
    request_answer(call->request, NULL);
}

bool call_check_state(request_t *request, const process_t *process, process_state_t wanted,
                      const char *verb)
{
    if (process->state == wanted)
        return true;
    manager_fail(request, STATUS_FAILED_PRECONDITION, "cannot %s %s: it is %s, not %s", verb,
                 process->exec_id[0] ? process->exec_id : process->task->id,
                 process_state_name(process->state), process_state_name(wanted));
    return false;
}
