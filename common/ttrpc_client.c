/* Calls to a shim.
 *
 * A call is in `calls` until it is answered, times out or the connection ends, and then for a
 * moment in `due`, from where its callback is called. One alarm serves the earliest of: something
 * in `due`, a deadline, the next attempt to connect. */
#include "common/ttrpc_client.h"

#include "common/io_timer.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc_address.h"
#include "common/ttrpc_wire.h"
#include "common/utf8.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define CONNECT_RETRY_US (10 * 1000)
#define US_PER_MS        1000
#define STREAM_MAX       (UINT32_MAX - 2) /* the next id must still fit */

typedef struct call {
    uint32_t stream; /* 0 when it was never sent */
    int64_t timeout_ms;
    int64_t deadline_us; /* monotonic; INT64_MAX for none */
    char *method;
    ttrpc_reply_t *callback;
    void *arg;
    status_t *failure; /* in `due`: why it is over */
    TAILQ_ENTRY(call) link;
} call_t;
TAILQ_HEAD(call_list, call);

struct ttrpc_client {
    ttrpc_wire_t *wire;
    io_set_t *io;
    io_timer_t alarm;
    ttrpc_closed_t *on_close;
    void *arg;
    bool is_closed;

    struct sockaddr_un address;
    socklen_t address_size;
    char *address_text;
    int64_t connect_until_us; /* 0 when not connecting */
    int64_t connect_next_us;

    uint32_t next_stream;
    zhashx_t *by_stream;    /* of `calls` */
    struct call_list calls; /* in the order of stream ids; owns them */
    struct call_list due;   /* owns them */
    size_t pending;         /* in both */
    uint64_t late_replies;

    /* A callback may destroy the client under the function that calls it: the last one out frees.
     */
    int uses;
    bool is_doomed;
};

/* Calls and their containers ---------------------------------------------------------------------
 */

static size_t hash_stream(const void *key)
{
    return (size_t)(uintptr_t)key;
}

static int compare_streams(const void *a, const void *b)
{
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

static void *stream_key(uint32_t stream)
{
    return (void *)(uintptr_t)stream;
}

static void call_destroy(call_t **self_p)
{
    call_t *self = *self_p;
    if (!self)
        return;
    free(self->method);
    free(self->failure);
    free(self);
    *self_p = NULL;
}

static void unlist(ttrpc_client_t *self, call_t *call)
{
    zhashx_delete(self->by_stream, stream_key(call->stream));
    TAILQ_REMOVE(&self->calls, call, link);
}

static void make_due(ttrpc_client_t *self, call_t *call, const status_t *st)
{
    call->failure = zmalloc(sizeof *call->failure);
    *call->failure = *st;
    TAILQ_INSERT_TAIL(&self->due, call, link);
}

static void drop_list(struct call_list *list)
{
    call_t *call;
    while ((call = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, call, link);
        call_destroy(&call);
    }
}

/* Life -------------------------------------------------------------------------------------------
 */

static void enter(ttrpc_client_t *self)
{
    self->uses++;
}

static void leave(ttrpc_client_t *self)
{
    if (--self->uses > 0 || !self->is_doomed)
        return;
    zhashx_destroy(&self->by_stream);
    free(self->address_text);
    free(self);
}

void ttrpc_client_cancel_all(ttrpc_client_t *self)
{
    zhashx_purge(self->by_stream);
    drop_list(&self->calls);
    drop_list(&self->due);
    self->pending = 0;
}

void ttrpc_client_destroy(ttrpc_client_t **self_p)
{
    ttrpc_client_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    enter(self);
    self->is_doomed = self->is_closed = true;
    ttrpc_client_cancel_all(self);
    ttrpc_wire_destroy(&self->wire);
    io_timer_stop(self->io, &self->alarm);
    leave(self);
}

bool ttrpc_client_is_closed(const ttrpc_client_t *self)
{
    return self->is_closed;
}

size_t ttrpc_client_pending(const ttrpc_client_t *self)
{
    return self->pending;
}

uint64_t ttrpc_client_late_replies(const ttrpc_client_t *self)
{
    return self->late_replies;
}

int ttrpc_client_fd(const ttrpc_client_t *self)
{
    return self->wire ? ttrpc_wire_fd(self->wire) : -1;
}

pid_t ttrpc_client_peer_pid(const ttrpc_client_t *self)
{
    return self->wire ? ttrpc_wire_peer_pid(self->wire) : 0;
}

/* Answering --------------------------------------------------------------------------------------
 */

/* The call is in no list any more. */
static void answer(ttrpc_client_t *self, call_t *call, const status_t *st, const uint8_t *payload,
                   size_t size)
{
    self->pending--;
    call->callback(call->arg, st, size ? payload : NULL, size);
    call_destroy(&call);
}

/* Calls back for what is due by now. What a callback adds waits for the next turn of the loop, so
 * that one that asks again after each failure does not keep us here. */
static void deliver_due(ttrpc_client_t *self)
{
    size_t count = 0;
    call_t *call;
    TAILQ_FOREACH(call, &self->due, link)
    count++;
    while (count-- > 0 && (call = TAILQ_FIRST(&self->due))) {
        TAILQ_REMOVE(&self->due, call, link);
        answer(self, call, call->failure, NULL, 0);
    }
    if (!TAILQ_EMPTY(&self->due))
        io_timer_at(self->io, &self->alarm, 0);
}

/* The end of the connection, said to all. Called from the loop. */
static void close_all(ttrpc_client_t *self, const status_t *st)
{
    call_t *call;
    self->is_closed = true;
    self->connect_until_us = 0;
    while ((call = TAILQ_FIRST(&self->calls))) {
        unlist(self, call);
        make_due(self, call, st);
    }
    deliver_due(self);
    if (!self->is_doomed && self->on_close)
        self->on_close(self->arg, st);
}

static void expire(ttrpc_client_t *self, int64_t now)
{
    call_t *call = TAILQ_FIRST(&self->calls);
    int64_t earliest = INT64_MAX;
    while (call) {
        call_t *next = TAILQ_NEXT(call, link);
        if (call->deadline_us <= now) {
            status_t st;
            status_set(&st, STATUS_DEADLINE_EXCEEDED, "no answer to %s within %lld ms",
                       call->method, (long long)call->timeout_ms);
            unlist(self, call);
            make_due(self, call, &st);
        } else if (call->deadline_us < earliest) {
            earliest = call->deadline_us;
        }
        call = next;
    }
    io_timer_advance(self->io, &self->alarm, earliest);
}

/* The wire's calls -------------------------------------------------------------------------------
 */

static void outcome_of(const Ttrpc__Status *status, status_t *st)
{
    status_clear(st);
    if (!status || status->code == 0)
        return;
    bool is_known = status->code > 0 && status->code <= STATUS_UNAUTHENTICATED;
    utf8_repair(status->message);
    status_set(st, is_known ? (status_code_t)status->code : STATUS_UNKNOWN, "%s", status->message);
}

static void refuse(ttrpc_client_t *self, const char *what)
{
    status_t st;
    status_set(&st, STATUS_INTERNAL, "shim sent %s", what);
    ttrpc_wire_fail(self->wire, &st);
}

static void on_frame(void *arg, const ttrpc_header_t *header, const uint8_t *body)
{
    ttrpc_client_t *self = arg;
    if (header->type != TTRPC_TYPE_RESPONSE) {
        refuse(self, "a frame that is no response");
        return;
    }
    if (header->stream % 2 == 0 || header->stream >= self->next_stream) {
        refuse(self, "a response to no request");
        return;
    }
    call_t *call = zhashx_lookup(self->by_stream, stream_key(header->stream));
    if (!call) {
        self->late_replies++;
        return;
    }
    Ttrpc__Response *response = ttrpc__response__unpack(NULL, header->size, body);
    if (!response) {
        refuse(self, "a response that cannot be decoded");
        return;
    }
    status_t st;
    outcome_of(response->status, &st);
    const ProtobufCBinaryData *payload = &response->payload;
    unlist(self, call);
    enter(self);
    answer(self, call, &st, payload->data, st.code ? 0 : payload->len);
    leave(self);
    ttrpc__response__free_unpacked(response, NULL);
}

static void on_oversize(void *arg, const ttrpc_header_t *header)
{
    ttrpc_client_t *self = arg;
    status_t st;
    status_set(&st, STATUS_INTERNAL, "shim announced a message of %u bytes, limit %d", header->size,
               TTRPC_BODY_MAX);
    ttrpc_wire_fail(self->wire, &st);
}

static void on_closed(void *arg, const status_t *st)
{
    ttrpc_client_t *self = arg;
    enter(self);
    close_all(self, st);
    leave(self);
}

static const ttrpc_wire_ops_t wire_ops = {
    .frame = on_frame,
    .oversize = on_oversize,
    .closed = on_closed,
    .peer = "shim",
};

/* Connecting -------------------------------------------------------------------------------------
 */

/* One attempt. A full backlog is no failure: then the wire is still without a socket, and the time
 * of the next attempt is set. */
static status_code_t try_connect(ttrpc_client_t *self, status_t *st)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return status_errno(st, errno, "connect to %s: socket", self->address_text);
    int rc = connect(fd, (const struct sockaddr *)&self->address, self->address_size);
    if (rc && (errno == EAGAIN || errno == EINTR)) {
        int64_t now = util_monotonic_us();
        if (now >= self->connect_until_us)
            return status_set(st, STATUS_UNAVAILABLE, "connect to %s: its backlog is full",
                              self->address_text);
        self->connect_next_us = now + CONNECT_RETRY_US;
        io_timer_advance(self->io, &self->alarm, self->connect_next_us);
        return STATUS_OK;
    }
    if (rc && (errno == ENOENT || errno == ECONNREFUSED))
        return status_set(st, STATUS_UNAVAILABLE, "connect to %s: %s", self->address_text,
                          strerror(errno));
    if (rc)
        return status_errno(st, errno, "connect to %s", self->address_text);
    self->connect_until_us = 0;
    int connected = fd;
    fd = -1;
    if (ttrpc_wire_open(self->wire, connected, st))
        return status_wrap(st, "connect to %s", self->address_text);
    return STATUS_OK;
}

static void on_alarm(void *arg)
{
    ttrpc_client_t *self = arg;
    int64_t now = util_monotonic_us();
    status_t st;
    enter(self);
    expire(self, now);
    if (self->connect_until_us && now < self->connect_next_us)
        io_timer_advance(self->io, &self->alarm, self->connect_next_us);
    else if (self->connect_until_us && try_connect(self, &st))
        close_all(self, &st);
    deliver_due(self);
    leave(self);
}

static ttrpc_client_t *client_new(io_set_t *io, ttrpc_closed_t *on_close, void *arg)
{
    ttrpc_client_t *self = zmalloc(sizeof *self);
    *self = (ttrpc_client_t){.io = io, .on_close = on_close, .arg = arg, .next_stream = 1};
    self->wire = ttrpc_wire_new(io, &wire_ops, self);
    self->by_stream = zhashx_new();
    zhashx_set_key_hasher(self->by_stream, hash_stream);
    zhashx_set_key_comparator(self->by_stream, compare_streams);
    zhashx_set_key_duplicator(self->by_stream, NULL);
    zhashx_set_key_destructor(self->by_stream, NULL);
    TAILQ_INIT(&self->calls);
    TAILQ_INIT(&self->due);
    io_timer_init(&self->alarm, on_alarm, self);
    return self;
}

ttrpc_client_t *ttrpc_client_new(io_set_t *io, const char *address, int64_t connect_ms,
                                 ttrpc_closed_t *on_close, void *arg, status_t *st)
{
    AUTO(ttrpc_client)
    self = client_new(io, on_close, arg);
    self->connect_until_us = util_monotonic_us() + connect_ms * US_PER_MS;
    self->address_text = util_strdup(address);
    if (ttrpc_address_parse(address, &self->address, &self->address_size, st) ||
        try_connect(self, st))
        return NULL;
    return TAKE(self);
}

ttrpc_client_t *ttrpc_client_adopt(io_set_t *io, int fd, ttrpc_closed_t *on_close, void *arg,
                                   status_t *st)
{
    AUTO_CLOSE int owned = fd;
    AUTO(ttrpc_client)
    self = client_new(io, on_close, arg);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    owned = -1;
    if (ttrpc_wire_open(self->wire, fd, st))
        return NULL;
    return TAKE(self);
}

/* Calling ----------------------------------------------------------------------------------------
 */

static status_code_t check_room(const ttrpc_client_t *self, status_t *st)
{
    if (self->is_closed)
        return status_set(st, STATUS_UNAVAILABLE, "shim closed the connection");
    if (self->pending >= TTRPC_CALLS_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "%zu calls are under way, limit %d",
                          self->pending, TTRPC_CALLS_MAX);
    if (self->next_stream > STREAM_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "the connection has no more stream ids");
    return STATUS_OK;
}

void ttrpc_client_call(ttrpc_client_t *self, const char *service, const char *method,
                       const ProtobufCMessage *request, int64_t timeout_ms, const char *ns,
                       ttrpc_reply_t *callback, void *arg)
{
    status_t st;
    ttrpc_frame_t *frame = NULL;
    call_t *call = zmalloc(sizeof *call);
    *call = (call_t){.timeout_ms = timeout_ms,
                     .method = util_strdup(method),
                     .callback = callback,
                     .arg = arg,
                     .deadline_us = INT64_MAX};
    if (check_room(self, &st) ||
        !(frame = ttrpc_frame_request(self->next_stream, service, method, request, timeout_ms, ns,
                                      &st)) ||
        ttrpc_wire_send(self->wire, frame, &st)) {
        self->pending++;
        make_due(self, call, &st);
        io_timer_at(self->io, &self->alarm, 0);
        return;
    }
    self->pending++;
    call->stream = self->next_stream;
    self->next_stream += 2;
    TAILQ_INSERT_TAIL(&self->calls, call, link);
    zhashx_insert(self->by_stream, stream_key(call->stream), call);
    if (timeout_ms > 0) {
        call->deadline_us = util_monotonic_us() + timeout_ms * US_PER_MS;
        io_timer_advance(self->io, &self->alarm, call->deadline_us);
    }
}
