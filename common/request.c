/* One request's life in a worker: decoded, looked up when its id must run once, handled, recorded,
 * answered. */
#include "common/worker_internal.h"

#include "common/failpoint.h"
#include "common/frame.h"
#include "common/proc.h"
#include "common/request_asked.h"
#include "common/util.h"
#include "common/uuid_table.h"

struct request {
    worker_t *worker;
    msg_header_t header; /* texts live in `zone` */
    msg_peer_t peer;
    msg_id_t method;
    msgpack_zone *zone;
    void *ask;
    zmq_msg_t answer; /* encoded, while its outcome is being recorded */
    status_t outcome;
    bool is_settled;   /* the handler has answered */
    bool is_forgotten; /* nobody waits for the answer */
    bool is_bound;     /* no other process could carry it on */
    int64_t begun_us;
    int64_t asked_at; /* ns since the epoch */
};

static void request_destroy(request_t **self)
{
    if (!*self)
        return;
    msgpack_zone_free((*self)->zone);
    zmq_msg_close(&(*self)->answer);
    free(*self);
    *self = NULL;
}

zhashx_t *request_table_new(void)
{
    zhashx_t *table = uuid_table_new();
    zhashx_set_destructor(table, (zhashx_destructor_fn *)request_destroy);
    return table;
}

static bool is_recorded(const request_t *self)
{
    msg_class_t class = msg_type(self->method)->class;
    return class == CLASS_WRITE || class == CLASS_URGENT;
}

size_t request_count_mutating(worker_t *worker)
{
    size_t count = 0;
    for (request_t *r = zhashx_first(worker->requests); r; r = zhashx_next(worker->requests))
        if (msg_type(r->method)->class != CLASS_READ)
            count++;
    return count;
}

size_t request_count_bound(worker_t *worker, int64_t begun_by)
{
    size_t count = 0;
    for (request_t *r = zhashx_first(worker->requests); r; r = zhashx_next(worker->requests))
        if (r->is_bound && r->begun_us <= begun_by)
            count++;
    return count;
}

static bool is_bound_from_beginning(msg_id_t method)
{
    return msg_type(method)->redelivery == REDELIVERY_NEVER;
}

static const worker_method_t *find_method(worker_t *worker, const char *name)
{
    for (size_t i = 0; i < worker->method_count; i++)
        if (!strcmp(msg_type(worker->methods[i].id)->name, name))
            return &worker->methods[i];
    return NULL;
}

static const char *zone_text(msgpack_zone *zone, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = msgpack_zone_malloc(zone, size);
    if (!copy)
        abort();
    return memcpy(copy, text, size);
}

static void refuse(worker_t *worker, const msg_header_t *asked, const status_t *st)
{
    zmq_msg_t body;
    frame_encode(&body, MSG_empty, &(msg_empty_t){0});
    link_answer(worker->link, &asked->id, st, &body);
}

static void send_answer(request_t *self)
{
    const status_t *st = &self->outcome;
    log_debug("%s %s -> %s %s (%lld us)", msg_type(self->method)->name,
              self->header.ns ? self->header.ns : "-", status_name(st->code), st->text,
              (long long)(util_monotonic_us() - self->begun_us));
    if (st->code == STATUS_INTERNAL || st->code == STATUS_DATA_LOSS)
        log_error("%s: %s", msg_type(self->method)->name, st->text);
    status_t ignored;
    FAILPOINT(&ignored, "%s before answer", self->header.method);
    if (zmq_msg_size(&self->answer) == 0)
        frame_encode(&self->answer, MSG_empty, &(msg_empty_t){0});
    link_answer(self->worker->link, &self->header.id, st, &self->answer);
    self->worker->is_unheard |= self->is_bound;
    zmq_msg_init(&self->answer);
    zhashx_delete(self->worker->requests, &self->header.id);
}

/* Whoever asks waits for the answer: as a rule it is there still. */
static const char *comm_of(request_t *self)
{
    char comm[PROC_COMM_SIZE];
    bool known = self->peer.pid > 0 && proc_comm((pid_t)self->peer.pid, comm);
    return known ? zone_text(self->zone, comm) : NULL;
}

static request_t *request_new(worker_t *worker, const worker_method_t *method,
                              const msg_header_t *header)
{
    request_t *self = zmalloc(sizeof *self);
    self->worker = worker;
    self->header = *header;
    self->method = method->id;
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE / 4);
    self->header.message = NULL;
    self->header.ns = zone_text(self->zone, header->ns);
    self->header.method = msg_type(method->id)->name;
    self->is_bound = is_bound_from_beginning(method->id);
    if (header->peer) {
        self->peer = *header->peer;
        self->peer.comm = is_recorded(self) ? comm_of(self) : NULL;
        self->header.peer = &self->peer;
    }
    self->begun_us = util_monotonic_us();
    self->asked_at = util_now_ns();
    frame_encode(&self->answer, MSG_empty, &(msg_empty_t){0}); /* a body is a map always */
    return self;
}

static void run_handler(request_t *self)
{
    const worker_method_t *method = find_method(self->worker, self->header.method);
    status_t st;
    if (FAILPOINT(&st, "%s begin", self->header.method)) {
        request_fail(self, &st);
        return;
    }
    method->handler(self->worker->handler_self, self, self->ask);
}

void request_begin(worker_t *worker, const msg_header_t *header, zmq_msg_t *body)
{
    status_t st;
    if (zhashx_lookup(worker->requests, &header->id)) {
        zmq_msg_close(body); /* it is being worked on; its answer will do for both */
        return;
    }
    const worker_method_t *method = find_method(worker, header->method);
    if (method && is_bound_from_beginning(method->id) && worker_keeps_back(worker, &header->id)) {
        zmq_msg_close(body);
        return;
    }
    if (!method) {
        status_set(&st, STATUS_UNIMPLEMENTED, "unknown method %s", header->method);
        refuse(worker, header, &st);
        zmq_msg_close(body);
        return;
    }
    request_t *self = request_new(worker, method, header);
    self->ask = msgpack_zone_malloc(self->zone, msg_type(method->id)->size);
    if (msg_decode(method->id, zmq_msg_data(body), zmq_msg_size(body), self->zone, self->ask,
                   &st)) {
        refuse(worker, header, &st);
        request_destroy(&self);
        zmq_msg_close(body);
        return;
    }
    zmq_msg_close(body);
    zhashx_insert(worker->requests, &self->header.id, self);
    if (is_recorded(self))
        worker->journal.lookup(worker->journal.arg, self);
    else
        run_handler(self);
}

void worker_looked_up(request_t *self, const msg_outcome_t *earlier)
{
    if (!earlier) {
        run_handler(self);
        return;
    }
    if (strcmp(earlier->method, self->header.method)) {
        status_set(&self->outcome, STATUS_ALREADY_EXISTS, "%s: the request id was used for %s",
                   self->header.method, earlier->method);
        send_answer(self);
        return;
    }
    self->outcome.code = (status_code_t)earlier->status;
    snprintf(self->outcome.text, sizeof self->outcome.text, "%s",
             earlier->message ? earlier->message : "");
    if (earlier->answer.size) {
        zmq_msg_close(&self->answer);
        zmq_msg_init_size(&self->answer, earlier->answer.size);
        memcpy(zmq_msg_data(&self->answer), earlier->answer.data, earlier->answer.size);
    }
    send_answer(self);
}

void worker_recorded(request_t *self, const status_t *st)
{
    if (st->code)
        log_error("%s: outcome not recorded: %s", self->header.method, st->text);
    if (st->code && self->outcome.code) {
        const status_t failure = self->outcome;
        status_set(&self->outcome, failure.code, "%.200s; this outcome is not recorded: %.200s",
                   failure.text, st->text);
    } else if (st->code) {
        /* What was done stays done; saying OK would promise an answer that cannot be repeated. */
        status_set(&self->outcome, STATUS_UNAVAILABLE,
                   "%s: done, but its outcome is not recorded: %.200s", self->header.method,
                   st->text);
    }
    send_answer(self);
}

msg_request_record_t request_outcome(request_t *self, const status_t *st, const msg_bytes_t *answer)
{
    return (msg_request_record_t){.id = self->header.id,
                                  .method = self->header.method,
                                  .ns = self->header.ns,
                                  .status = (uint32_t)st->code,
                                  .message = st->code ? st->text : NULL,
                                  .answer = *answer,
                                  .peer = self->header.peer,
                                  .target = msg_text(self->method, self->ask, "id"),
                                  .exec_id = msg_text(self->method, self->ask, "exec_id"),
                                  .asked_at = self->asked_at,
                                  .asked = request_asked(self->method, self->ask, self->zone)};
}

static void settle(request_t *self)
{
    assert(!self->is_settled);
    self->is_settled = true;
    if (!is_recorded(self)) {
        send_answer(self);
        return;
    }
    status_t ignored;
    FAILPOINT(&ignored, "%s before record", self->header.method);
    const msg_bytes_t answer = {.data = zmq_msg_data(&self->answer),
                                .size = zmq_msg_size(&self->answer)};
    msg_request_record_t record = request_outcome(self, &self->outcome, &answer);
    self->worker->journal.record(self->worker->journal.arg, self, &record);
}

static void set_answer(request_t *self, const void *answer)
{
    static const msg_empty_t nothing;
    status_clear(&self->outcome);
    zmq_msg_close(&self->answer);
    frame_encode(&self->answer, msg_type(self->method)->answer, answer ? answer : &nothing);
}

void request_answer(request_t *self, const void *answer)
{
    set_answer(self, answer);
    settle(self);
}

void request_answer_recorded(request_t *self, const void *answer)
{
    set_answer(self, answer);
    assert(!self->is_settled);
    self->is_settled = true;
    send_answer(self);
}

void request_fail(request_t *self, const status_t *st)
{
    assert(st->code != STATUS_OK);
    self->outcome = *st;
    zmq_msg_close(&self->answer);
    frame_encode(&self->answer, MSG_empty, &(msg_empty_t){0});
    settle(self);
}

/* Nobody waits any more --------------------------------------------------------------------------
 */

bool request_end_forgotten(request_t *self)
{
    status_t st;
    if (!self->is_forgotten)
        return false;
    status_set(&st, STATUS_DEADLINE_EXCEEDED, "%s: nobody waits for it any more",
               self->header.method);
    request_fail(self, &st);
    return true;
}

void request_forget(worker_t *worker, const msg_uuid_t *id)
{
    request_t *request = zhashx_lookup(worker->requests, id);
    if (!request)
        return;
    request->is_forgotten = true;
    if (worker->forget && worker->forget(worker->handler_self, request))
        request_end_forgotten(request);
}

/* The journal of the metadata worker, asked over the link -----------------------------------------
 */

/* Replies find their request by id: it may have been answered in another way meanwhile. */
typedef struct journal_ask {
    worker_t *worker;
    msg_uuid_t id;
} journal_ask_t;

static request_t *journal_request(void *arg)
{
    AUTO_FREE journal_ask_t *ask = arg;
    return zhashx_lookup(ask->worker->requests, &ask->id);
}

static journal_ask_t *journal_ask_new(worker_t *worker, request_t *request)
{
    journal_ask_t *ask = zmalloc(sizeof *ask);
    *ask = (journal_ask_t){.worker = worker, .id = request->header.id};
    return ask;
}

static void on_outcome(void *arg, const status_t *st, const void *answer)
{
    request_t *request = journal_request(arg);
    if (!request)
        return;
    if (st->code == STATUS_OK)
        worker_looked_up(request, answer);
    else if (st->code == STATUS_NOT_FOUND)
        worker_looked_up(request, NULL);
    else {
        /* Not run: nobody knows whether it ran before. */
        request->outcome = *st;
        status_wrap(&request->outcome, "look up whether the request ran before");
        send_answer(request);
    }
}

static int64_t time_left(const request_t *request)
{
    if (!request->header.deadline)
        return 0;
    int64_t left = request->header.deadline - util_now_ms();
    return left > 1 ? left : 1;
}

void worker_lookup_remote(request_t *request)
{
    if (request_is_first(request)) {
        worker_looked_up(request, NULL);
        return;
    }
    worker_t *worker = request->worker;
    msg_request_get_t ask = {.id = request->header.id};
    link_ask(worker->link, MSG_request_get, &ask, NULL, time_left(request), NULL, on_outcome,
             journal_ask_new(worker, request));
}

static void on_recorded(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    request_t *request = journal_request(arg);
    if (request)
        worker_recorded(request, st);
}

void worker_record_remote(request_t *request, const msg_request_record_t *outcome)
{
    worker_t *worker = request->worker;
    link_ask(worker->link, MSG_request_record, outcome, NULL, 0, NULL, on_recorded,
             journal_ask_new(worker, request));
}

static void remote_lookup(void *arg, request_t *request)
{
    (void)arg;
    worker_lookup_remote(request);
}

static void remote_record(void *arg, request_t *request, const msg_request_record_t *outcome)
{
    (void)arg;
    worker_record_remote(request, outcome);
}

const worker_journal_t request_journal_remote = {.lookup = remote_lookup, .record = remote_record};

/* What a handler may know ------------------------------------------------------------------------
 */

const char *request_ns(const request_t *self)
{
    return self->header.ns;
}

const msg_uuid_t *request_id(const request_t *self)
{
    return &self->header.id;
}

const msg_peer_t *request_peer(const request_t *self)
{
    return self->header.peer;
}

int64_t request_asked_at(const request_t *self)
{
    return self->asked_at;
}

int64_t request_deadline(const request_t *self)
{
    return self->header.deadline;
}

bool request_is_first(const request_t *self)
{
    return self->header.first;
}

void request_bind(request_t *self)
{
    self->is_bound = true;
}

bool request_is_redelivered(const request_t *self)
{
    return self->header.redelivered;
}

msg_id_t request_method(const request_t *self)
{
    return self->method;
}

const void *request_ask(const request_t *self)
{
    return self->ask;
}

msgpack_zone *request_zone(request_t *self)
{
    return self->zone;
}

const char *request_require_ns(request_t *self)
{
    const char *ns = self->header.ns;
    status_t st;
    if (ns && msg_is_identifier(ns, strlen(ns)))
        return ns;
    if (ns)
        status_set(&st, STATUS_INVALID_ARGUMENT, "%s: namespace %s is not an identifier",
                   self->header.method, ns);
    else
        status_set(&st, STATUS_INVALID_ARGUMENT, "%s: namespace is missing", self->header.method);
    request_fail(self, &st);
    return NULL;
}
