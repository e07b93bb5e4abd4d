/* The methods of service METADATA. */
#include "workers/metadata/service.h"

#include "common/log.h"
#include "common/proc.h"
#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/ends.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/namespaces.h"
#include "workers/metadata/polls.h"
#include "workers/metadata/removals.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/restarts.h"
#include "workers/metadata/subscribers.h"
#include "workers/metadata/trail.h"

#include <assert.h>

/* Requests the broker may hand over at once. An incarnation.end keeps its place while it waits for
 * a shim's events, which do not come through the broker; an event.fetch while it waits for events,
 * of which each subscriber has one at most. */
#define WINDOW (256 + SUBSCRIBERS_MAX)

/* A request that a bundle worker which is away may be given later. */
#define SWEEP_MS 300000

#define DAY_NS ((int64_t)24 * 3600 * 1000000000)

typedef enum ns_need { NS_NONE, NS_OPTIONAL, NS_NEEDED } ns_need_t;
typedef enum access {
    READS,
    READS_LATEST, /* sees also what came before it and is not committed yet */
    WRITES,
    WAITS
} access_t;

typedef struct method {
    msg_id_t id;
    access_t access;
    ns_need_t ns;
    call_run_t *run;
    call_check_t *check; /* may be NULL */
} method_t;

static const method_t methods[] = {
    {MSG_namespace_create, WRITES, NS_NONE, namespaces_create, NULL},
    {MSG_namespace_get, READS, NS_NONE, namespaces_get, NULL},
    {MSG_namespace_list, READS, NS_NONE, namespaces_list, NULL},
    {MSG_namespace_update, WRITES, NS_NONE, namespaces_update, NULL},
    {MSG_namespace_delete, WRITES, NS_NONE, namespaces_delete, NULL},
    {MSG_container_create, WRITES, NS_NEEDED, containers_create, containers_check_create},
    {MSG_container_get, READS, NS_NEEDED, containers_get, NULL},
    {MSG_container_list, READS, NS_OPTIONAL, containers_list, NULL},
    {MSG_container_update, WRITES, NS_NEEDED, containers_update, containers_check_update},
    {MSG_container_delete, WRITES, NS_NEEDED, containers_delete, NULL},
    {MSG_event_publish, WRITES, NS_NEEDED, journal_publish, journal_check_publish},
    {MSG_event_list, READS, NS_OPTIONAL, journal_list, NULL},
    {MSG_event_about, READS, NS_NEEDED, trail_about, NULL},
    {MSG_event_subscribe, WRITES, NS_OPTIONAL, subscribers_subscribe, subscribers_check},
    {MSG_event_fetch, WAITS, NS_OPTIONAL, NULL, NULL},
    {MSG_event_ack, WRITES, NS_OPTIONAL, subscribers_ack, NULL},
    {MSG_event_subscribers, READS, NS_OPTIONAL, subscribers_list, NULL},
    {MSG_event_unsubscribe, WRITES, NS_OPTIONAL, subscribers_unsubscribe, NULL},
    {MSG_request_get, READS_LATEST, NS_NONE, requests_get, NULL},
    {MSG_request_list, READS_LATEST, NS_NEEDED, requests_list, NULL},
    {MSG_request_record, WRITES, NS_NONE, requests_record, NULL},
    {MSG_incarnation_begin, WRITES, NS_NEEDED, incarnations_begin, incarnations_check_begin},
    {MSG_incarnation_exit, WRITES, NS_NEEDED, incarnations_exit, incarnations_check_exit},
    {MSG_incarnation_checkpoint, WRITES, NS_NEEDED, incarnations_checkpoint,
     incarnations_check_checkpoint},
    {MSG_incarnation_end, WRITES, NS_NEEDED, incarnations_end, incarnations_check_end},
    {MSG_incarnation_get, READS, NS_NEEDED, incarnations_get, incarnations_check_get},
    {MSG_incarnation_list, READS_LATEST, NS_NONE, incarnations_list, NULL},
    {MSG_restart_note, WRITES, NS_NEEDED, restarts_note, NULL},
    {MSG_restart_list, WRITES, NS_NONE, restarts_list, NULL},
    {MSG_exit_get, READS, NS_NEEDED, incarnations_exit_get, NULL},
    {MSG_exit_list, READS, NS_OPTIONAL, exit_records_list, NULL},
    {MSG_metadata_status, READS, NS_NONE, usage_tell, NULL},
};

struct service {
    worker_t *worker;
    store_t *store;
    batch_t *batch;
    const usage_t *usage;
    restart_delays_t delays;
    ends_t *ends;
    polls_t *polls;
    removals_t *removals;
    worker_method_t handlers[ARRAY_SIZE(methods)];
    bool is_settled; /* the request that is being answered has its outcome stored, or cannot have */
};

/* A write from its request to its answer. */
typedef struct write {
    service_t *service;
    request_t *request;
    const method_t *method;
    call_t call;
    status_t outcome;
} write_t;

static const method_t *method_of(const request_t *request)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (methods[i].id == request_method(request))
            return &methods[i];
    return NULL;
}

/* False after having failed the request because its namespace is missing or bad. */
static bool find_ns(const method_t *method, request_t *request, const char **ret)
{
    bool wanted = method->ns == NS_NEEDED || (method->ns == NS_OPTIONAL && request_ns(request));
    *ret = wanted ? request_require_ns(request) : NULL;
    return *ret || !wanted;
}

static void *answer_in_zone(const method_t *method, request_t *request)
{
    size_t size = msg_type(msg_type(method->id)->answer)->size;
    void *answer = msgpack_zone_malloc(request_zone(request), size);
    if (!answer)
        abort();
    return memset(answer, 0, size);
}

/* Reads -----------------------------------------------------------------------------------------
 */

static void on_read(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    const method_t *method = method_of(request);
    call_t call = {
        .ask = ask, .zone = request_zone(request), .now = util_now_ns(), .usage = self->usage};
    status_t st = {.code = STATUS_OK};
    if (!find_ns(method, request, &call.ns))
        return;
    if (method->check && method->check(ask, &st)) {
        request_fail(request, &st);
        return;
    }
    call.answer = answer_in_zone(method, request);
    AUTO(txn)
    txn = txn_read(self->store, &st);
    if (txn)
        method->run(txn, &call, &st);
    if (txn && txn_error(txn))
        txn_status(txn, &st);
    if (st.code)
        request_fail(request, &st);
    else
        request_answer(request, call.answer);
}

typedef struct late_read {
    service_t *service;
    request_t *request;
    const void *ask;
} late_read_t;

static void run_nothing(void *arg, txn_t *txn)
{
    (void)arg;
    (void)txn;
}

static void read_now(void *arg, const status_t *st)
{
    AUTO_FREE late_read_t *self = arg;
    (void)st; /* of the writes before it, whose requests are told */
    on_read(self->service, self->request, self->ask);
}

static void on_read_latest(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    if (batch_waiting(self->batch) == 0) {
        on_read(self, request, ask);
        return;
    }
    late_read_t *late = zmalloc(sizeof *late);
    *late = (late_read_t){.service = self, .request = request, .ask = ask};
    batch_add(self->batch, run_nothing, read_now, late);
}

/* The one method whose answer may have to wait for an event. */
static void on_fetch(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    const char *ns;
    if (find_ns(method_of(request), request, &ns))
        polls_fetch(self->polls, request, ns, ask);
}

void service_on_events(service_t *self)
{
    polls_on_events(self->polls);
}

/* Writes ----------------------------------------------------------------------------------------
 */

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

/* Those of one container, or of all when `id` is NULL, that belong to no record any more. */
static void sweep_logs(void *arg, const char *ns, const char *id)
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
        sweep_logs(self->service, call->ns, ask->id);
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

static const char *keep_text(msgpack_zone *zone, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *copy = text ? msgpack_zone_malloc(zone, size) : NULL;
    if (text && !copy)
        abort();
    return text ? memcpy(copy, text, size) : NULL;
}

/* The name of the process that asks for a container, which it wants held. */
static const char *find_holder(request_t *request, const msg_container_create_t *ask)
{
    const msg_peer_t *peer = request_peer(request);
    char name[PROC_NAME_SIZE];
    if (!ask->held || !peer || peer->pid <= 0)
        return NULL;
    proc_name((pid_t)peer->pid, name); /* one that has ended by now has no process with its name */
    return keep_text(request_zone(request), name);
}

static void add_write(void *arg, request_t *request, const char *ns, const void *ask)
{
    service_t *self = arg;
    write_t *write = zmalloc(sizeof *write);
    *write = (write_t){.service = self, .request = request, .method = method_of(request)};
    write->call = (call_t){.ns = ns,
                           .ask = ask,
                           .answer = answer_in_zone(write->method, request),
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

static void on_write(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    const method_t *method = method_of(request);
    const char *ns;
    status_t st;
    if (!find_ns(method, request, &ns))
        return;
    if (method->check && method->check(ask, &st))
        request_fail(request, &st);
    else if (method->id != MSG_incarnation_end || !ends_park(self->ends, request, ns, ask))
        add_write(self, request, ns, ask);
}

void service_begin(service_t *self)
{
    status_t st;
    sweep_logs(self, NULL, NULL);
    if (!removals_begin(self->removals, &st))
        log_error("find the containers that are to be removed: %s", st.text);
}

void service_on_task_event(service_t *self, const char *ns, const char *id)
{
    ends_on_task_event(self->ends, ns, id);
}

/* Journal of outcomes ---------------------------------------------------------------------------
 */

/* A read transaction will do: the worker keeps a second request with an id that is being worked on
 * away, so nothing can be stored for it between here and its own transaction. */
static void lookup(void *arg, request_t *request)
{
    service_t *self = arg;
    status_t st;
    msg_outcome_t earlier;
    AUTO(txn)
    txn = txn_read(self->store, &st);
    bool found = txn && requests_find(txn, request_id(request), request_zone(request), &earlier);
    if (txn && !txn_status(txn, &st)) {
        worker_looked_up(request, found ? &earlier : NULL);
        return;
    }
    self->is_settled = true; /* what cannot be read cannot be told to have failed either */
    request_fail(request, &st);
    self->is_settled = false;
}

/* The outcome of a request that was refused before it came to a transaction. */
typedef struct refusal {
    request_t *request;
    msg_request_record_t record;
    int64_t now;
} refusal_t;

static void run_refusal(void *arg, txn_t *txn)
{
    refusal_t *self = arg;
    requests_keep(txn, &self->record, self->now);
}

/* The request changed nothing, so its answer is good whether it was stored or not. */
static void answer_refusal(void *arg, const status_t *st)
{
    AUTO_FREE refusal_t *self = arg;
    static const status_t ok;
    if (st->code)
        log_warn("%s: refusal not recorded: %s", self->record.method, st->text);
    worker_recorded(self->request, &ok);
}

static void record(void *arg, request_t *request, const msg_request_record_t *outcome)
{
    service_t *self = arg;
    static const status_t ok;
    if (self->is_settled) {
        worker_recorded(request, &ok);
        return;
    }
    assert(outcome->status); /* successes come from transactions, with their outcome */
    refusal_t *refusal = zmalloc(sizeof *refusal);
    *refusal = (refusal_t){.request = request, .record = *outcome, .now = util_now_ns()};
    refusal->record.answer = (msg_bytes_t){.data = NULL};
    refusal->record.ns = request_ns(request);
    refusal->record.message = keep_text(request_zone(request), outcome->message);
    refusal->record.peer = request_peer(request);
    batch_add(self->batch, run_refusal, answer_refusal, refusal);
}

/* -----------------------------------------------------------------------------------------------
 */

static worker_handler_t *const handlers[] = {
    [READS] = on_read, [READS_LATEST] = on_read_latest, [WRITES] = on_write, [WAITS] = on_fetch};

service_t *service_new(worker_t *worker, store_t *store, batch_t *batch, const settings_t *settings,
                       const usage_t *usage, status_t *st)
{
    polls_t *polls =
        polls_new(worker_io(worker), store, batch, settings->subscriber_idle * DAY_NS, st);
    if (!polls)
        return NULL;
    service_t *self = zmalloc(sizeof *self);
    *self = (service_t){.worker = worker,
                        .store = store,
                        .batch = batch,
                        .usage = usage,
                        .delays = settings->restarts,
                        .polls = polls};
    self->removals = removals_new(&(removals_tools_t){.io = worker_io(worker),
                                                      .link = worker_link(worker),
                                                      .store = store,
                                                      .batch = batch,
                                                      .run_dir = worker_cluster(worker)->run_dir,
                                                      .done = sweep_logs,
                                                      .arg = self});
    self->ends = ends_new(worker_io(worker), store, add_write, self);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        self->handlers[i] =
            (worker_method_t){.id = methods[i].id, .handler = handlers[methods[i].access]};
    worker_serve(worker, self->handlers, ARRAY_SIZE(methods), self, WINDOW);
    worker_set_journal(worker,
                       &(worker_journal_t){.lookup = lookup, .record = record, .arg = self});
    return self;
}

void service_destroy(service_t **self_p)
{
    service_t *self = *self_p;
    if (!self)
        return;
    polls_destroy(&self->polls);
    ends_destroy(&self->ends);
    removals_destroy(&self->removals);
    free(self);
    *self_p = NULL;
}
