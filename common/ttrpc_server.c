/* The server side of ttrpc.
 *
 * server -> connections -> requests, each owning the next, with one exception: a request that the
 * handler has is its holder's, and merely forgets its connection when that goes. */
#include "common/ttrpc_server.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc_wire.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define ACCEPTS_PER_WAKEUP 64
#define ACCEPT_RETRY_US    (100 * 1000) /* when there are no descriptors left */

typedef struct connection {
    ttrpc_server_t *server;
    ttrpc_wire_t *wire;
    pid_t peer_pid;
    uint32_t last_stream;
    TAILQ_HEAD(, ttrpc_request) requests; /* with the handler; not owned */
    size_t request_count;
    LIST_ENTRY(connection) link;
} connection_t;

struct ttrpc_request {
    connection_t *connection; /* NULL when it is gone */
    uint32_t stream;
    pid_t peer_pid;
    Ttrpc__Request *body;
    TAILQ_ENTRY(ttrpc_request) link;
};

struct ttrpc_server {
    io_set_t *io;
    int listener;
    bool is_accepting; /* the listener is watched */
    io_timer_t retry;
    ttrpc_handler_t *handler;
    void *arg;
    LIST_HEAD(, connection) connections;
    size_t connection_count;
};

static void accept_again(void *arg);

/* Connections ------------------------------------------------------------------------------------
 */

static void connection_destroy(connection_t **self_p)
{
    connection_t *self = *self_p;
    if (!self)
        return;
    ttrpc_request_t *request;
    TAILQ_FOREACH(request, &self->requests, link)
    request->connection = NULL;
    LIST_REMOVE(self, link);
    self->server->connection_count--;
    ttrpc_wire_destroy(&self->wire);
    free(self);
    *self_p = NULL;
}

/* What the peer has under way decides whether it may send more. */
static void throttle(connection_t *self)
{
    size_t load = self->request_count + ttrpc_wire_queued(self->wire);
    ttrpc_wire_pause(self->wire, load >= TTRPC_REQUESTS_MAX);
}

static void respond(connection_t *self, uint32_t stream, const status_t *outcome,
                    const uint8_t *payload, size_t size)
{
    status_t st;
    ttrpc_frame_t *frame = ttrpc_frame_response(stream, outcome, payload, size, &st);
    if (!frame)
        frame = ttrpc_frame_response(stream, &st, NULL, 0, &st);
    if (ttrpc_wire_send(self->wire, frame, &st))
        ttrpc_wire_fail(self->wire, &st);
    throttle(self);
}

static void refuse(connection_t *self, uint32_t stream, status_code_t code, const char *text)
{
    status_t outcome;
    status_set(&outcome, code, "%s", text);
    respond(self, stream, &outcome, NULL, 0);
}

static const char *namespace_of(const Ttrpc__Request *request)
{
    for (size_t i = 0; i < request->n_metadata; i++)
        if (strcmp(request->metadata[i]->key, TTRPC_NAMESPACE_KEY) == 0)
            return request->metadata[i]->value;
    return "";
}

static void on_frame(void *arg, const ttrpc_header_t *header, const uint8_t *body)
{
    connection_t *self = arg;
    if (header->type != TTRPC_TYPE_REQUEST)
        return;
    if (header->stream % 2 == 0 || header->stream <= self->last_stream) {
        refuse(self, header->stream, STATUS_INVALID_ARGUMENT,
               header->stream % 2 == 0 ? "stream id is even" : "stream id was used before");
        return;
    }
    self->last_stream = header->stream;
    Ttrpc__Request *decoded = ttrpc__request__unpack(NULL, header->size, body);
    if (!decoded) {
        refuse(self, header->stream, STATUS_INTERNAL, "request cannot be decoded");
        return;
    }
    ttrpc_request_t *request = zmalloc(sizeof *request);
    *request = (ttrpc_request_t){
        .connection = self, .stream = header->stream, .peer_pid = self->peer_pid, .body = decoded};
    TAILQ_INSERT_TAIL(&self->requests, request, link);
    self->request_count++;
    throttle(self);
    const ProtobufCBinaryData *payload = &decoded->payload;
    self->server->handler(self->server->arg, request, decoded->service, decoded->method,
                          payload->len ? payload->data : NULL, payload->len, namespace_of(decoded));
}

static void on_oversize(void *arg, const ttrpc_header_t *header)
{
    connection_t *self = arg;
    if (header->type == TTRPC_TYPE_REQUEST)
        refuse(self, header->stream, STATUS_RESOURCE_EXHAUSTED, "request is larger than 4 MiB");
}

static void on_drained(void *arg)
{
    throttle(arg);
}

static void on_closed(void *arg, const status_t *st)
{
    connection_t *self = arg;
    ttrpc_server_t *server = self->server;
    log_debug("ttrpc connection of process %d: %s", self->peer_pid, st->text);
    connection_destroy(&self);
    accept_again(server);
}

static const ttrpc_wire_ops_t wire_ops = {
    .frame = on_frame,
    .oversize = on_oversize,
    .drained = on_drained,
    .closed = on_closed,
    .peer = "client",
};

/* Accepting --------------------------------------------------------------------------------------
 */

static void add_connection(ttrpc_server_t *server, int fd)
{
    connection_t *self = zmalloc(sizeof *self);
    *self = (connection_t){.server = server};
    self->wire = ttrpc_wire_new(server->io, &wire_ops, self);
    TAILQ_INIT(&self->requests);
    LIST_INSERT_HEAD(&server->connections, self, link);
    server->connection_count++;
    status_t st;
    if (ttrpc_wire_open(self->wire, fd, &st)) {
        log_warn("ttrpc connection refused: %s", st.text);
        connection_destroy(&self);
        return;
    }
    self->peer_pid = ttrpc_wire_peer_pid(self->wire);
}

static void stop_accepting(ttrpc_server_t *self)
{
    io_set_remove(self->io, self->listener);
    self->is_accepting = false;
}

/* Failures that belong to the connection that was about to be accepted, not to us: accept(2). */
static bool is_of_connection(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO;
}

static void on_listener(void *arg, int fd, uint32_t events)
{
    (void)events;
    ttrpc_server_t *self = arg;
    for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
        if (self->connection_count >= TTRPC_CONNECTIONS_MAX) {
            log_warn("%zu ttrpc connections are open: accepting no more until one closes",
                     self->connection_count);
            stop_accepting(self);
            return;
        }
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0 && is_of_connection(errno))
            continue;
        if (peer < 0 && errno == EAGAIN)
            return;
        if (peer < 0) {
            log_warn("accept a ttrpc connection: %s", strerror(errno));
            stop_accepting(self);
            io_timer_at(self->io, &self->retry, util_monotonic_us() + ACCEPT_RETRY_US);
            return;
        }
        add_connection(self, peer);
    }
}

static void accept_again(void *arg)
{
    ttrpc_server_t *self = arg;
    if (self->is_accepting)
        return;
    self->is_accepting = io_set_add(self->io, self->listener, EPOLLIN, on_listener, self) == 0;
    if (!self->is_accepting)
        io_timer_at(self->io, &self->retry, util_monotonic_us() + ACCEPT_RETRY_US);
}

/* The server -------------------------------------------------------------------------------------
 */

ttrpc_server_t *ttrpc_server_new(io_set_t *io, int listener, ttrpc_handler_t *handler, void *arg,
                                 status_t *st)
{
    AUTO(ttrpc_server)
    self = zmalloc(sizeof *self);
    *self = (ttrpc_server_t){.io = io, .listener = listener, .handler = handler, .arg = arg};
    LIST_INIT(&self->connections);
    io_timer_init(&self->retry, accept_again, self);
    if (fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK) ||
        io_set_add(io, listener, EPOLLIN, on_listener, self)) {
        status_errno(st, errno, "watch the ttrpc listener");
        return NULL;
    }
    self->is_accepting = true;
    return TAKE(self);
}

void ttrpc_server_destroy(ttrpc_server_t **self_p)
{
    ttrpc_server_t *self = *self_p;
    if (!self)
        return;
    if (self->is_accepting)
        stop_accepting(self);
    io_timer_stop(self->io, &self->retry);
    connection_t *connection;
    while ((connection = LIST_FIRST(&self->connections)))
        connection_destroy(&connection);
    free(self);
    *self_p = NULL;
}

size_t ttrpc_server_connections(const ttrpc_server_t *self)
{
    return self->connection_count;
}

/* Requests ---------------------------------------------------------------------------------------
 */

void ttrpc_request_answer(ttrpc_request_t **self_p, const status_t *st, const uint8_t *payload,
                          size_t size)
{
    ttrpc_request_t *self = *self_p;
    connection_t *connection = self->connection;
    if (connection) {
        TAILQ_REMOVE(&connection->requests, self, link);
        connection->request_count--;
        respond(connection, self->stream, st, payload, size);
    }
    ttrpc__request__free_unpacked(self->body, NULL);
    free(self);
    *self_p = NULL;
}

pid_t ttrpc_request_peer_pid(const ttrpc_request_t *self)
{
    return self->peer_pid;
}
