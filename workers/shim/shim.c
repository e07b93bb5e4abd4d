/* A running shim process. */
#include "workers/shim/shim.h"

#include "common/io_timer.h"
#include "common/keep.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/proc_socket.h"
#include "common/util.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#define UNIX_PREFIX "unix://"
#define US_PER_MS   1000

#define HELD_MAX 1024 /* calls that wait for the connection */

/* A call made while there is no connection: sent when it is made again, refused when the shim is
 * dead. Answered from the loop in any case. */
typedef struct held {
    shim_t *shim;
    const ProtobufCMessageDescriptor *type;
    char *method, *ns;
    uint8_t *request; /* packed */
    size_t size;
    int64_t deadline; /* monotonic us; 0 for none */
    ttrpc_reply_t *reply;
    void *arg;
    io_timer_t late;
    TAILQ_ENTRY(held) link;
} held_t;

struct shim {
    io_set_t *io;
    endpoint_t endpoint;
    ttrpc_client_t *client; /* NULL while there is no connection */
    int pidfd;              /* -1 before shim_watch and after its end */
    io_timer_t reconnect, tell;
    TAILQ_HEAD(, held) held;
    size_t held_count;
    unsigned users;
    bool dead; /* the process has ended */
    bool told;
    bool is_kept; /* the keeper has this connection */
    shim_gone_t *gone;
    shim_back_t *back;
    void *arg, *gone_arg;
};

static void on_closed(void *arg, const status_t *st);

/* Calls without a connection ----------------------------------------------------------------------
 */

static void held_free(held_t *held)
{
    io_timer_stop(held->shim->io, &held->late);
    TAILQ_REMOVE(&held->shim->held, held, link);
    held->shim->held_count--;
    free(held->method);
    free(held->ns);
    free(held->request);
    free(held);
}

static void refuse(held_t *held, status_code_t code, const char *text)
{
    ttrpc_reply_t *reply = held->reply;
    void *arg = held->arg;
    status_t st;
    status_set(&st, code, "%s", text);
    held_free(held);
    reply(arg, &st, NULL, 0);
}

static void refuse_all(shim_t *self)
{
    held_t *held;
    while ((held = TAILQ_FIRST(&self->held)))
        refuse(held, STATUS_UNAVAILABLE, "the shim has died");
}

static void on_late(void *arg)
{
    held_t *held = arg;
    if (held->shim->held_count > HELD_MAX)
        refuse(held, STATUS_RESOURCE_EXHAUSTED, "too many calls wait for the shim");
    else
        refuse(held, STATUS_DEADLINE_EXCEEDED, "there is no connection to the shim");
}

static void hold(shim_t *self, const char *method, const ProtobufCMessage *request,
                 int64_t timeout_ms, const char *ns, ttrpc_reply_t *reply, void *arg)
{
    held_t *held = zmalloc(sizeof *held);
    int64_t now = util_monotonic_us();
    *held = (held_t){.shim = self,
                     .type = request->descriptor,
                     .method = util_strdup(method),
                     .ns = util_strdup(ns),
                     .size = protobuf_c_message_get_packed_size(request),
                     .deadline = timeout_ms ? now + timeout_ms * US_PER_MS : 0,
                     .reply = reply,
                     .arg = arg};
    held->request = zmalloc(held->size + 1);
    protobuf_c_message_pack(request, held->request);
    TAILQ_INSERT_TAIL(&self->held, held, link);
    self->held_count++;
    io_timer_init(&held->late, on_late, held);
    if (self->held_count > HELD_MAX)
        io_timer_at(self->io, &held->late, now);
    else if (held->deadline)
        io_timer_at(self->io, &held->late, held->deadline);
}

static void send_held(shim_t *self)
{
    held_t *held;
    while ((held = TAILQ_FIRST(&self->held))) {
        ProtobufCMessage *request =
            protobuf_c_message_unpack(held->type, NULL, held->size, held->request);
        int64_t left = (held->deadline - util_monotonic_us()) / US_PER_MS;
        int64_t timeout = !held->deadline ? 0 : left > 1 ? left : 1;
        shim_call(self, held->method, request, timeout, held->ns, held->reply, held->arg);
        protobuf_c_message_free_unpacked(request, NULL);
        held_free(held);
    }
}

/* Tells from the loop, so that a shim never ends inside a call about it. */
static void on_tell(void *arg)
{
    shim_t *self = arg;
    refuse_all(self);
    self->told = true;
    self->gone(self->gone_arg, self);
}

static void settle(shim_t *self)
{
    if (self->dead && !self->client && !self->told)
        io_timer_in(self->io, &self->tell, 0);
}

static void on_process_end(void *arg, int fd, uint32_t events)
{
    shim_t *self = arg;
    (void)events;
    io_set_remove(self->io, fd);
    util_close(&self->pidfd);
    self->dead = true;
    io_timer_stop(self->io, &self->reconnect);
    settle(self); /* or when the connection has closed, and its calls are answered */
}

bool shim_keep(shim_t *self)
{
    int fd = self->client ? ttrpc_client_fd(self->client) : -1;
    if (fd >= 0 && !self->is_kept)
        self->is_kept = keep_descriptor(fd);
    return !self->client || self->is_kept;
}

void shim_not_kept(shim_t *self)
{
    self->is_kept = false;
}

static void keep_new(shim_t *self)
{
    self->is_kept = false;
    shim_keep(self);
}

static void on_reconnect(void *arg)
{
    shim_t *self = arg;
    status_t st;
    self->client =
        ttrpc_client_new(self->io, self->endpoint.address, SHIM_CONNECT_MS, on_closed, self, &st);
    if (self->client) {
        keep_new(self);
        send_held(self);
        self->back(self->arg, self);
    } else if (self->pidfd < 0 && st.code == STATUS_UNAVAILABLE) {
        /* Nobody listens and no process is known: that is as dead as it gets. */
        self->dead = true;
        settle(self);
    } else
        io_timer_in(self->io, &self->reconnect, SHIM_RECONNECT_MS);
}

static void on_closed(void *arg, const status_t *st)
{
    shim_t *self = arg;
    ttrpc_client_destroy(&self->client);
    if (self->dead) {
        settle(self);
        return;
    }
    log_debug("shim %u: connection lost: %s", self->endpoint.shim_pid, st->text);
    io_timer_in(self->io, &self->reconnect, 0);
}

shim_t *shim_connect(io_set_t *io, const endpoint_t *endpoint, shim_gone_t *gone, shim_back_t *back,
                     void *arg, status_t *st)
{
    shim_t *self = zmalloc(sizeof *self);
    *self = (shim_t){.io = io,
                     .endpoint = *endpoint,
                     .pidfd = -1,
                     .gone = gone,
                     .back = back,
                     .arg = arg,
                     .gone_arg = arg};
    io_timer_init(&self->reconnect, on_reconnect, self);
    io_timer_init(&self->tell, on_tell, self);
    TAILQ_INIT(&self->held);
    self->client = ttrpc_client_new(io, endpoint->address, SHIM_CONNECT_MS, on_closed, self, st);
    if (!self->client) {
        free(self);
        return NULL;
    }
    keep_new(self);
    return self;
}

void shim_destroy(shim_t **self_p)
{
    shim_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->reconnect);
    io_timer_stop(self->io, &self->tell);
    held_t *held;
    while ((held = TAILQ_FIRST(&self->held)))
        held_free(held);
    ttrpc_client_destroy(&self->client);
    io_set_remove(self->io, self->pidfd);
    util_close(&self->pidfd);
    free(self);
    *self_p = NULL;
}

status_code_t shim_watch(shim_t *self, uint32_t pid, uint64_t start_time, status_t *st)
{
    if (self->pidfd >= 0 || self->dead)
        return STATUS_OK;
    self->pidfd = proc_open((pid_t)pid, start_time);
    if (self->pidfd < 0)
        return status_set(st, STATUS_FAILED_PRECONDITION, "watch shim %u: %s", pid,
                          strerror(errno));
    if (io_set_add(self->io, self->pidfd, EPOLLIN, on_process_end, self)) {
        status_errno(st, errno, "watch shim %u", pid);
        util_close(&self->pidfd);
        return st->code;
    }
    self->endpoint.shim_pid = pid;
    self->endpoint.shim_start = proc_start_time((pid_t)pid);
    return STATUS_OK;
}

status_code_t shim_seek(shim_t *self, status_t *st)
{
    if (self->pidfd >= 0 || self->dead)
        return STATUS_OK;
    pid_t pid = proc_find_listener(self->endpoint.address);
    if (!pid)
        return status_set(st, STATUS_FAILED_PRECONDITION, "nobody listens on %s",
                          self->endpoint.address);
    return shim_watch(self, (uint32_t)pid, 0, st);
}

void shim_call(shim_t *self, const char *method, const ProtobufCMessage *request,
               int64_t timeout_ms, const char *ns, ttrpc_reply_t *reply, void *arg)
{
    const char *service =
        self->endpoint.version == 3 ? "containerd.task.v3.Task" : "containerd.task.v2.Task";
    if (self->client && !ttrpc_client_is_closed(self->client))
        ttrpc_client_call(self->client, service, method, request, timeout_ms, ns, reply, arg);
    else
        hold(self, method, request, timeout_ms, ns, reply, arg);
}

void shim_downgrade(shim_t *self)
{
    self->endpoint.version = 2;
}

const endpoint_t *shim_endpoint(const shim_t *self)
{
    return &self->endpoint;
}

unsigned *shim_users(shim_t *self)
{
    return &self->users;
}

bool shim_is_gone(const shim_t *self)
{
    return self->dead && !self->client;
}

void shim_expect_end(shim_t *self, shim_gone_t *gone, void *arg)
{
    self->gone = gone;
    self->gone_arg = arg;
}

bool shim_kill(shim_t *self)
{
    return self->pidfd >= 0 && !pidfd_send_signal(self->pidfd, SIGKILL, NULL, 0);
}

void shim_remove_socket(const char *address)
{
    if (!strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)))
        (void)unlink(address + strlen(UNIX_PREFIX)); /* most remove it themselves */
}
