/* A running shim process. */
#include "workers/shim/shim.h"

#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#define UNIX_PREFIX "unix://"

struct shim {
    zloop_t *loop;
    io_set_t *io;
    endpoint_t endpoint;
    ttrpc_client_t *client; /* NULL while there is no connection */
    int pidfd;              /* -1 before shim_watch and after its end */
    int timer;              /* reconnecting, or telling that it is gone; -1 when not */
    unsigned users;
    bool dead; /* the process has ended */
    bool told;
    shim_gone_t *gone;
    shim_back_t *back;
    void *arg, *gone_arg;
};

static void on_closed(void *arg, const status_t *st);

/* Tells from the loop, so that a shim never ends inside a call about it. */
static int tell_gone(zloop_t *loop, int timer, void *arg)
{
    shim_t *self = arg;
    (void)loop;
    (void)timer;
    self->timer = -1;
    self->told = true;
    self->gone(self->gone_arg, self);
    return 0;
}

static void settle(shim_t *self)
{
    if (!self->dead || self->client || self->told || self->timer >= 0)
        return;
    self->timer = zloop_timer(self->loop, 1, 1, tell_gone, self);
}

static void on_process_end(void *arg, int fd, uint32_t events)
{
    shim_t *self = arg;
    (void)events;
    io_set_remove(self->io, fd);
    util_close(&self->pidfd);
    self->dead = true;
    if (self->timer >= 0) {
        zloop_timer_end(self->loop, self->timer);
        self->timer = -1;
    }
    settle(self); /* or when the connection has closed, and its calls are answered */
}

static int reconnect(zloop_t *loop, int timer, void *arg)
{
    shim_t *self = arg;
    status_t st;
    (void)loop;
    (void)timer;
    self->timer = -1;
    self->client =
        ttrpc_client_new(self->io, self->endpoint.address, SHIM_CONNECT_MS, on_closed, self, &st);
    if (self->client)
        self->back(self->arg, self);
    else if (self->pidfd < 0) {
        /* Nobody listens and no process is known: that is as dead as it gets. */
        self->dead = true;
        settle(self);
    } else
        self->timer = zloop_timer(self->loop, SHIM_RECONNECT_MS, 1, reconnect, self);
    return 0;
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
    if (self->timer < 0)
        self->timer = zloop_timer(self->loop, 1, 1, reconnect, self);
}

shim_t *shim_connect(zloop_t *loop, io_set_t *io, const endpoint_t *endpoint, shim_gone_t *gone,
                     shim_back_t *back, void *arg, status_t *st)
{
    shim_t *self = zmalloc(sizeof *self);
    *self = (shim_t){.loop = loop,
                     .io = io,
                     .endpoint = *endpoint,
                     .pidfd = -1,
                     .timer = -1,
                     .gone = gone,
                     .back = back,
                     .arg = arg,
                     .gone_arg = arg};
    self->client = ttrpc_client_new(io, endpoint->address, SHIM_CONNECT_MS, on_closed, self, st);
    if (!self->client) {
        free(self);
        return NULL;
    }
    return self;
}

void shim_destroy(shim_t **self_p)
{
    shim_t *self = *self_p;
    if (!self)
        return;
    if (self->timer >= 0)
        zloop_timer_end(self->loop, self->timer);
    ttrpc_client_destroy(&self->client);
    io_set_remove(self->io, self->pidfd);
    util_close(&self->pidfd);
    free(self);
    *self_p = NULL;
}

status_code_t shim_watch(shim_t *self, uint32_t pid, status_t *st)
{
    if (self->pidfd >= 0)
        return STATUS_OK;
    self->endpoint.shim_pid = pid;
    self->pidfd = pid ? pidfd_open((pid_t)pid, 0) : -1;
    if (self->pidfd < 0)
        return status_set(st, STATUS_FAILED_PRECONDITION, "watch shim %u: %s", pid,
                          strerror(errno));
    if (io_set_add(self->io, self->pidfd, EPOLLIN, on_process_end, self)) {
        status_errno(st, errno, "watch shim %u", pid);
        util_close(&self->pidfd);
        return st->code;
    }
    return STATUS_OK;
}

void shim_call(shim_t *self, const char *method, const ProtobufCMessage *request,
               int64_t timeout_ms, const char *ns, ttrpc_reply_t *reply, void *arg)
{
    const char *service =
        self->endpoint.version == 3 ? "containerd.task.v3.Task" : "containerd.task.v2.Task";
    if (self->client) {
        ttrpc_client_call(self->client, service, method, request, timeout_ms, ns, reply, arg);
        return;
    }
    status_t st;
    status_set(&st, STATUS_UNAVAILABLE, "the connection to the shim is being made again");
    reply(arg, &st, NULL, 0);
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

void shim_kill(shim_t *self)
{
    if (self->pidfd >= 0)
        pidfd_send_signal(self->pidfd, SIGKILL, NULL, 0);
}

void shim_remove_socket(const shim_t *self)
{
    const char *address = self->endpoint.address;
    if (!strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)))
        (void)unlink(address + strlen(UNIX_PREFIX)); /* most remove it themselves */
}
