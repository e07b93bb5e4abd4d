/* Methods that write: in batches, each with its outcome in the transaction of its effect. */
#include "workers/metadata/service_internal.h"

#include "common/log.h"
#include "common/proc.h"
#include "common/util.h"
#include "workers/metadata/requests.h"

#include <assert.h>

/* A request that a bundle worker which is away may be given later. */
#define SWEEP_MS 300000

/* A write from its request to its answer. */
typedef struct write {
    service_t *service;
    request_t *request;
    const method_t *method;
    call_t call;
    status_t outcome;
} write_t;

/* Stores what will be answered; a request of a worker's own needs none, it may run again. */
static void keep_outcome(write_t *self, txn_t *txn)
{
    const msg_type_t *type = msg_type(self->method->id);
    if (type->class != CLASS_WRITE && type->class != CLASS_URGENT)
        return;
    msgpack_sbuffer answer;
    msgpack_sbuffer_init(&answer);
    if (!self->outcome.code)
        msg_encode(type->answer, self->call.answer, &answer);
    const msg_bytes_t body = {.data = (uint8_t *)answer.data, .size = answer.size};
    msg_request_record_t record = request_outcome(self->request, &self->outcome, &body);
    record.ns = self->call.ns;
    requests_keep(txn, &record, self->call.now);
    msgpack_sbuffer_destroy(&answer);
}

static void run_write(void *arg, txn_t *txn)
{
    write_t *self = arg;
    size_t writes = txn_writes(txn);
    status_clear(&self->outcome);
    memset(self->call.answer, 0, msg_type(msg_type(self->method->id)->answer)->size);
    self->method->run(txn, &self->call, &self->outcome);
    /* An operation that refuses has changed nothing: its neighbours are committed. */
    assert(!self->outcome.code || txn_writes(txn) == writes || txn_error(txn));
    keep_outcome(self, txn);
}

static void on_swept(void *arg, const status_t *st, const void *answer)
{
    (void)arg;
    (void)answer;
    if (st->code)
        log_warn("log.sweep: %s", st->text);
}

void service_sweep_logs(void *arg, const char *ns, const char *id)
{
    service_t *self = arg;
    const msg_log_sweep_t ask = {.id = id};
    link_ask(worker_link(self->worker), MSG_log_sweep, &ask, ns, SWEEP_MS, NULL, on_swept, self);
}

/* What follows from a write that was done. */
static void follow_up(const write_t *self)
{
    const call_t *call = &self->call;
    switch (self->method->id) {
    case MSG_container_create:
        removals_add(self->service->removals, call->answer);
        break;
    case MSG_container_delete: {
        const msg_container_delete_t *ask = call->ask;
        removals_forget(self->service->removals, call->ns, ask->id);
        service_sweep_logs(self->service, call->ns, ask->id);
        break;
    }
    case MSG_incarnation_exit: {
        const msg_incarnation_exit_t *ask = call->ask;
        if (!ask->exec_id)
            removals_on_end(self->service->removals, call->ns, ask->id);
        break;
    }
    case MSG_incarnation_end: {
        const msg_incarnation_end_t *ask = call->ask;
        removals_on_end(self->service->removals, call->ns, ask->id);
        break;
    }
    case MSG_event_subscribe: {
        const msg_subscriber_t *subscriber = call->answer;
        if (subscriber->created_at == call->now)
            polls_on_begin(self->service->polls, subscriber);
        break;
    }
    case MSG_event_unsubscribe: {
        const msg_event_unsubscribe_t *ask = call->ask;
        polls_on_end(self->service->polls, ask->all ? "" : call->ns, ask->name);
        break;
    }
    default:
        break;
    }
}

static void answer_write(void *arg, const status_t *st)
{
    AUTO_FREE write_t *self = arg;
    if (!st->code && !self->outcome.code)
        follow_up(self);
    self->service->is_settled = true;
    if (st->code)
        request_fail(self->request, st);
    else if (self->outcome.code)
        request_fail(self->request, &self->outcome);
    else
        request_answer(self->request, self->call.answer);
    self->service->is_settled = false;
}

/* The name of the process that asks for a container, which it wants held. */
static const char *find_holder(request_t *request, const msg_container_create_t *ask)
{
    const msg_peer_t *peer = request_peer(request);
    char name[PROC_NAME_SIZE];
    if (!ask->held || !peer || peer->pid <= 0)
        return NULL;
    proc_name((pid_t)peer->pid, name); /* one that has ended by now has no process with its name */
    return service_keep_text(request_zone(request), name);
}

void service_add_write(void *arg, request_t *request, const char *ns, const void *ask)
{
    service_t *self = arg;
    write_t *write = zmalloc(sizeof *write);
    *write = (write_t){.service = self, .request = request, .method = service_method_of(request)};
    write->call = (call_t){.ns = ns,
                           .ask = ask,
                           .answer = service_answer_in_zone(write->method, request),
                           .zone = request_zone(request),
                           .now = util_now_ns(),
                           .delays = &self->delays};
    if (write->method->id == MSG_container_create)
        write->call.holder = find_holder(request, ask);
    if (write->method->id == MSG_event_ack) {
        const msg_event_ack_t *ack = ask;
        const char *space = ack->all ? "" : ns ? ns : "";
        write->call.delivered = polls_delivered(self->polls, space, ack->name);
    }
    batch_add(self->batch, run_write, answer_write, write);
}

void service_on_write(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    const method_t *method = service_method_of(request);
    const char *ns;
    status_t st;
    if (!service_find_ns(method, request, &ns))
        return;
    if (method->check && method->check(ask, &st))
        request_fail(request, &st);
    else if (method->id != MSG_incarnation_end || !ends_park(self->ends, request, ns, ask))
        service_add_write(self, request, ns, ask);
}
