/* The shim's long life. One thread for each connection and each call, as simple as can be: what
 * blocks, blocks its thread alone, or everybody where a real shim's lock does that too. */
#include "tests/fake-shim/daemon.h"

#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc_frame.h"
#include "common/util.h"
#include "tests/fake-shim/calls.h"
#include "tests/fake-shim/container.h"
#include "tests/fake-shim/events.h"
#include "tests/fake-shim/faults.h"
#include "tests/fake-shim/service.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DRAIN_MS     2000 /* generation 1 waits for its events before it ends */
#define DISCARD_SIZE (64 * 1024)
#define US_PER_MS    1000
#define GARBAGE      "\x0a\xffthis is no response"

typedef struct connection {
    int fd;
    pthread_mutex_t write_lock;
    atomic_int uses;
    uint32_t last_stream;
} connection_t;

typedef struct call {
    connection_t *connection;
    uint32_t stream;
    Ttrpc__Request *request;
    fault_t fault;
    char id[128]; /* what it is about; "" for none */
} call_t;

static struct {
    int generation;
    bool keeps_socket; /* when it ends: a grouped one of generation 2 and on leaves it behind */
    char service[64];
    char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} shim;

/* Ending -----------------------------------------------------------------------------------------
 */

static _Noreturn void end_daemon(void)
{
    if (!shim.keeps_socket)
        unlink(shim.socket_path);
    _exit(0);
}

static _Noreturn void die(const char *why)
{
    fprintf(stderr, "panic: %s\n", why);
    kill(getpid(), SIGKILL);
    _exit(1);
}

/* Answering --------------------------------------------------------------------------------------
 */

static void connection_unref(connection_t *self)
{
    if (atomic_fetch_sub(&self->uses, 1) > 1)
        return;
    close(self->fd);
    pthread_mutex_destroy(&self->write_lock);
    free(self);
}

static void send_bytes(connection_t *self, const uint8_t *bytes, size_t size)
{
    pthread_mutex_lock(&self->write_lock);
    for (size_t at = 0; at < size;) {
        ssize_t count = send(self->fd, bytes + at, size - at, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            break;
        at += count > 0 ? (size_t)count : 0;
    }
    pthread_mutex_unlock(&self->write_lock);
}

static void respond(connection_t *self, uint32_t stream, const status_t *outcome,
                    const uint8_t *payload, size_t size)
{
    status_t st;
    AUTO(ttrpc_frame)
    frame = ttrpc_frame_response(stream, outcome, payload, size, &st);
    if (!frame)
        frame = ttrpc_frame_response(stream, &st, NULL, 0, &st);
    send_bytes(self, frame->bytes, frame->size);
}

static void refuse(connection_t *self, uint32_t stream, status_code_t code, const char *text)
{
    status_t outcome;
    status_set(&outcome, code, "%s", text);
    respond(self, stream, &outcome, NULL, 0);
}

static void send_nonsense(connection_t *self, uint32_t stream, uint32_t announced)
{
    uint8_t bytes[TTRPC_HEADER_SIZE + sizeof GARBAGE - 1];
    ttrpc_header_t header = {.size = announced, .stream = stream, .type = TTRPC_TYPE_RESPONSE};
    ttrpc_header_encode(&header, bytes);
    memcpy(bytes + TTRPC_HEADER_SIZE, GARBAGE, sizeof GARBAGE - 1);
    send_bytes(self, bytes, sizeof bytes);
}

/* Calls ------------------------------------------------------------------------------------------
 */

/* True when the call goes on to be done. */
static bool fault_before(const call_t *call)
{
    const fault_t *fault = &call->fault;
    status_t outcome;
    switch (fault->kind) {
    case FAULT_ERROR:
        status_set(&outcome, fault->code, "%s", fault->text);
        respond(call->connection, call->stream, &outcome, NULL, 0);
        return false;
    case FAULT_DELAY:
        service_held_up(call->request->method, call->id);
        usleep((useconds_t)fault->ms * US_PER_MS);
        return true;
    case FAULT_PANIC:
        die(fault->text);
    case FAULT_HANG:
        return false;
    case FAULT_CLOSE:
        shutdown(call->connection->fd, SHUT_RDWR);
        return false;
    default:
        return true;
    }
}

static void fault_after(const call_t *call, const answer_t *answer)
{
    const fault_t *fault = &call->fault;
    switch (fault->kind) {
    case FAULT_DIED:
        die(fault->text);
    case FAULT_MUTE:
        return;
    case FAULT_LOST:
        shutdown(call->connection->fd, SHUT_RDWR);
        return;
    case FAULT_GARBAGE:
        send_nonsense(call->connection, call->stream, sizeof GARBAGE - 1);
        return;
    case FAULT_OVERSIZE:
        send_nonsense(call->connection, call->stream, TTRPC_BODY_MAX + 1);
        return;
    case FAULT_LATE:
        usleep((useconds_t)fault->ms * US_PER_MS);
        break;
    default:
        break;
    }
    respond(call->connection, call->stream, &answer->st, answer->payload, answer->size);
}

static void perform(const call_t *call)
{
    const ProtobufCBinaryData *payload = &call->request->payload;
    answer_t answer = {0};
    if (!fault_before(call))
        return;
    service_call(call->request->method, payload->data, payload->len, &answer);
    fault_after(call, &answer);
    free(answer.payload);
    if (answer.is_last) {
        events_drain(shim.generation == 1 ? DRAIN_MS : 0);
        end_daemon();
    }
}

static bool start_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arg))
        return false;
    pthread_detach(thread);
    return true;
}

/* Connections ------------------------------------------------------------------------------------
 */

static bool receive(int fd, void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t count = recv(fd, (uint8_t *)data + at, size - at, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += (size_t)count;
    }
    return true;
}

static bool discard(int fd, size_t size)
{
    uint8_t bytes[DISCARD_SIZE];
    while (size > 0) {
        size_t now = size < sizeof bytes ? size : sizeof bytes;
        if (!receive(fd, bytes, now))
            return false;
        size -= now;
    }
    return true;
}

/* Finds out what is to happen: while the requests of a connection are still in order, so that the
 * test can tell which call a fault hits. */
static status_code_t prepare(call_t *call, status_t *st)
{
    const Ttrpc__Request *request = call->request;
    char *id = call->id;
    if (strcmp(request->service, shim.service) != 0)
        return status_set(st, STATUS_UNIMPLEMENTED, "service %s", request->service);
    if (service_id(request->method, request->payload.data, request->payload.len, id, st))
        return st->code;
    calls_note("%s %s", request->method, id);
    call->fault = faults_next(id, request->method);
    return STATUS_OK;
}

static void call_destroy(call_t **self_p)
{
    call_t *self = *self_p;
    if (!self)
        return;
    connection_unref(self->connection);
    ttrpc__request__free_unpacked(self->request, NULL);
    free(self);
    *self_p = NULL;
}

static void *run_call(void *arg)
{
    AUTO(call)
    call = arg;
    perform(call);
    return NULL;
}

static void take_request(connection_t *self, const ttrpc_header_t *header, const uint8_t *body)
{
    /* ttrpc of containerd 1.6 does not mind an id that was used before. */
    bool is_old = header->stream <= self->last_stream && shim.generation > 1;
    if (header->stream % 2 == 0 || is_old) {
        refuse(self, header->stream, STATUS_INVALID_ARGUMENT, "StreamID is not allowed");
        return;
    }
    self->last_stream = header->stream;
    Ttrpc__Request *request = ttrpc__request__unpack(NULL, header->size, body);
    if (!request) {
        refuse(self, header->stream, STATUS_INTERNAL, "cannot decode the request");
        return;
    }
    status_t st;
    AUTO(call)
    call = zmalloc(sizeof *call);
    *call = (call_t){.connection = self, .stream = header->stream, .request = request};
    atomic_fetch_add(&self->uses, 1);
    if (prepare(call, &st))
        respond(self, header->stream, &st, NULL, 0);
    else if (start_thread(run_call, call))
        (void)TAKE(call);
}

static bool take_frame(connection_t *self)
{
    uint8_t head[TTRPC_HEADER_SIZE];
    if (!receive(self->fd, head, sizeof head))
        return false;
    ttrpc_header_t header = ttrpc_header_decode(head);
    if (header.size > TTRPC_BODY_MAX) {
        if (!discard(self->fd, header.size))
            return false;
        refuse(self, header.stream, STATUS_RESOURCE_EXHAUSTED, "message length exceeds the limit");
        return true;
    }
    AUTO_FREE uint8_t *body = zmalloc((size_t)header.size + 1);
    if (!receive(self->fd, body, header.size))
        return false;
    if (header.type == TTRPC_TYPE_REQUEST)
        take_request(self, &header, body);
    return true;
}

static void *serve(void *arg)
{
    connection_t *self = arg;
    while (take_frame(self))
        continue;
    shutdown(self->fd, SHUT_RDWR);
    connection_unref(self);
    return NULL;
}

static bool is_same_user(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

static void accept_all(void)
{
    for (;;) {
        int fd = accept4(DAEMON_LISTENER, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        if (!is_same_user(fd)) {
            close(fd);
            continue;
        }
        connection_t *connection = zmalloc(sizeof *connection);
        connection->fd = fd;
        atomic_init(&connection->uses, 1);
        pthread_mutex_init(&connection->write_lock, NULL);
        if (!start_thread(serve, connection))
            connection_unref(connection);
    }
}

/* Starting ---------------------------------------------------------------------------------------
 */

static void *take_signals(void *arg)
{
    const sigset_t *signals = arg;
    for (int number; sigwait(signals, &number) == 0;) {
        if (number == SIGCHLD)
            containers_reap();
        else if (number == SIGUSR1)
            fprintf(stderr,
                    "=== BEGIN goroutine stack dump ===\n=== END goroutine stack dump ===\n");
        else
            end_daemon();
    }
    return NULL;
}

/* Standard error is the bundle's log from here on. Without a reader of the FIFO this waits, while
 * the kernel already accepts connections; without a FIFO the daemon is dead before it has lived. */
static bool open_log(void)
{
    int fd = open("log", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    dup2(fd, STDERR_FILENO);
    close(fd);
    return true;
}

static void set_shim(const options_t *options, const spec_t *spec)
{
    struct sockaddr_un address = {0};
    socklen_t size = sizeof address;
    getsockname(DAEMON_LISTENER, (struct sockaddr *)&address, &size);
    snprintf(shim.socket_path, sizeof shim.socket_path, "%s", address.sun_path);
    shim.generation = options_generation(options, spec);
    shim.keeps_socket = shim.generation > 1 && spec_group(spec);
    snprintf(shim.service, sizeof shim.service, "containerd.task.v%d.Task",
             options_serve_version(options, spec));
}

int daemon_run(const options_t *options)
{
    static sigset_t signals;
    status_t st;
    fcntl(DAEMON_LISTENER, F_SETFD, FD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    if (!open_log())
        return 1;
    AUTO(spec)
    spec = spec_load(".", &st);
    if (!spec || faults_load(options->id, spec, &st)) {
        fprintf(stderr, "%s\n", st.text);
        return 1;
    }
    calls_open(spec);
    set_shim(options, spec);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    events_start(options->ns, spec);
    start_thread(take_signals, &signals);
    if (shim.generation == 1)
        fprintf(stderr, "level=info msg=\"starting signal loop\" pid=%d\n", getpid());
    accept_all();
    return 0;
}
