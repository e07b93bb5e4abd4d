/* A one-shot timer that is a descriptor (timerfd) of an io_set. */
#include "common/io_alarm.h"

#include "common/util.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define US_PER_SECOND 1000000
#define NS_PER_US     1000

struct io_alarm {
    io_set_t *io;
    int fd;
    int64_t when; /* INT64_MAX while stopped */
    io_alarm_handler_t *handler;
    void *arg;
};

static void on_ready(void *arg, int fd, uint32_t events)
{
    (void)events;
    io_alarm_t *self = arg;
    uint64_t expirations;
    /* Nothing to read: the time was set anew since the event was collected. */
    if (read(fd, &expirations, sizeof expirations) != sizeof expirations)
        return;
    self->when = INT64_MAX;
    self->handler(self->arg);
}

io_alarm_t *io_alarm_new(io_set_t *io, io_alarm_handler_t *handler, void *arg, status_t *st)
{
    AUTO_CLOSE int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0) {
        status_errno(st, errno, "make a timer");
        return NULL;
    }
    io_alarm_t *self = zmalloc(sizeof *self);
    *self = (io_alarm_t){.io = io, .fd = fd, .when = INT64_MAX, .handler = handler, .arg = arg};
    if (io_set_add(io, fd, EPOLLIN, on_ready, self)) {
        status_errno(st, errno, "watch a timer");
        free(self);
        return NULL;
    }
    fd = -1;
    return self;
}

void io_alarm_destroy(io_alarm_t **self_p)
{
    io_alarm_t *self = *self_p;
    if (!self)
        return;
    io_set_remove(self->io, self->fd);
    util_close(&self->fd);
    free(self);
    *self_p = NULL;
}

void io_alarm_set(io_alarm_t *self, int64_t when)
{
    struct itimerspec spec = {0};
    /* All zero would stop it. */
    int64_t at = when > 0 ? when : 1;
    if (when != INT64_MAX) {
        spec.it_value.tv_sec = at / US_PER_SECOND;
        spec.it_value.tv_nsec = at % US_PER_SECOND * NS_PER_US;
    }
    timerfd_settime(self->fd, TFD_TIMER_ABSTIME, &spec, NULL);
    self->when = when;
}

void io_alarm_advance(io_alarm_t *self, int64_t when)
{
    if (when < self->when)
        io_alarm_set(self, when);
}

void io_alarm_stop(io_alarm_t *self)
{
    io_alarm_set(self, INT64_MAX);
}
