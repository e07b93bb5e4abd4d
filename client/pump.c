/* Copies bytes from one descriptor to another through the loop. */
#include "client/pump.h"

#include "common/util.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#define BUFFER_SIZE 65536 /* bytes; a pipe's usual capacity */
/* What a pipe that polls writable takes at once, so that a blocking descriptor does not block. */
#define WRITE_SIZE PIPE_BUF
#define TURNS_MAX  16 /* writes in one wake-up */

struct pump {
    zloop_t *loop;
    int from, to;
    int watched;       /* the descriptor the loop polls for us, -1 for none */
    bool ended;        /* the source has */
    int error;         /* errno of the target, which takes no more; 0 while it does */
    size_t start, end; /* bytes read and not written: buffer[start..end) */
    int64_t moved_at;
    pump_end_t *on_end;
    void *arg;
    char buffer[BUFFER_SIZE];
};

static int on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg);

static void watch(pump_t *self, int fd, short events)
{
    if (self->watched == fd)
        return;
    if (self->watched >= 0) {
        zmq_pollitem_t old = {.fd = self->watched};
        zloop_poller_end(self->loop, &old);
    }
    self->watched = fd;
    if (fd < 0)
        return;
    zmq_pollitem_t item = {.fd = fd, .events = events};
    zloop_poller(self->loop, &item, on_ready, self);
    /* A hang-up is reported as an error; reading tells what it is. */
    zloop_poller_set_tolerant(self->loop, &item);
}

static void finish(pump_t *self)
{
    watch(self, -1, 0);
    self->ended = true;
    if (self->on_end)
        self->on_end(self->arg);
}

/* True when it may be tried again at once. */
static bool read_some(pump_t *self)
{
    ssize_t got = read(self->from, self->buffer, sizeof self->buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (got <= 0) {
        finish(self);
        return false;
    }
    self->moved_at = util_monotonic_us();
    self->start = 0;
    self->end = self->error ? 0 : (size_t)got;
    return self->end > 0;
}

static bool is_writable(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    return poll(&item, 1, 0) == 1;
}

static void write_some(pump_t *self)
{
    for (int turn = 0; turn < TURNS_MAX && self->start < self->end; turn++) {
        size_t size = self->end - self->start;
        if (!is_writable(self->to))
            return;
        ssize_t put =
            write(self->to, self->buffer + self->start, size < WRITE_SIZE ? size : WRITE_SIZE);
        if (put < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (put < 0) {
            self->error = errno;
            self->start = self->end;
            if (self->on_end)
                self->on_end(self->arg);
            return;
        }
        self->start += (size_t)put;
        self->moved_at = util_monotonic_us();
    }
}

static int on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    pump_t *self = arg;
    (void)loop;
    (void)item;
    if (self->start == self->end && !read_some(self))
        return 0;
    write_some(self);
    if (self->start < self->end)
        watch(self, self->to, ZMQ_POLLOUT);
    else
        watch(self, self->from, ZMQ_POLLIN);
    return 0;
}

pump_t *pump_new(zloop_t *loop, int from, int to, pump_end_t *on_end, void *arg)
{
    pump_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->from = from;
    self->to = to;
    self->watched = -1;
    self->on_end = on_end;
    self->arg = arg;
    self->moved_at = util_monotonic_us();
    watch(self, from, ZMQ_POLLIN);
    return self;
}

void pump_destroy(pump_t **self_p)
{
    pump_t *self = *self_p;
    if (!self)
        return;
    watch(self, -1, 0);
    free(self);
    *self_p = NULL;
}

bool pump_has_ended(const pump_t *self)
{
    return self->ended;
}

bool pump_is_holding(const pump_t *self)
{
    return self->start < self->end;
}

int pump_error(const pump_t *self)
{
    return self->error;
}

int64_t pump_moved_at(const pump_t *self)
{
    return self->moved_at;
}
