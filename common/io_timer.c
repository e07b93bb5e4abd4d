/* Timers of an io_set: a list in order of time, and one timerfd set to its head. */
#include "common/io_timer.h"

#include "common/io_set_internal.h"
#include "common/util.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#define US_PER_SECOND 1000000
#define US_PER_MS     1000
#define NS_PER_US     1000

struct io_timers {
    int fd;
    TAILQ_HEAD(io_timer_queue, io_timer) queue; /* soonest first */
};

static void set_clock(io_timers_t *self)
{
    const io_timer_t *first = TAILQ_FIRST(&self->queue);
    struct itimerspec spec = {0};
    if (first) {
        int64_t at = first->when > 0 ? first->when : 1; /* all zero would stop it */
        spec.it_value.tv_sec = at / US_PER_SECOND;
        spec.it_value.tv_nsec = at % US_PER_SECOND * NS_PER_US;
    }
    timerfd_settime(self->fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* Handlers may do anything to the queue, so it is looked at anew after each. What they set for now
 * comes with the next wake-up: others' turn then. */
static void on_ready(void *arg, int fd, uint32_t events)
{
    io_timers_t *self = arg;
    uint64_t expirations;
    (void)events;
    if (read(fd, &expirations, sizeof expirations) != sizeof expirations)
        return; /* the clock was set anew since the event was collected */
    int64_t now = util_monotonic_us();
    io_timer_t *first;
    while ((first = TAILQ_FIRST(&self->queue)) && first->when <= now) {
        TAILQ_REMOVE(&self->queue, first, link);
        first->is_set = false;
        first->handler(first->arg);
    }
    set_clock(self);
}

io_timers_t *io_timers_new(io_set_t *io)
{
    io_timers_t *self = zmalloc(sizeof *self);
    TAILQ_INIT(&self->queue);
    self->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->fd < 0 || io_set_add(io, self->fd, EPOLLIN, on_ready, self))
        abort();
    return self;
}

void io_timers_destroy(io_timers_t **self_p)
{
    util_close(&(*self_p)->fd);
    free(*self_p);
    *self_p = NULL;
}

void io_timer_init(io_timer_t *self, io_timer_handler_t *handler, void *arg)
{
    *self = (io_timer_t){.handler = handler, .arg = arg};
}

static void take_out(io_timers_t *timers, io_timer_t *self)
{
    TAILQ_REMOVE(&timers->queue, self, link);
    self->is_set = false;
}

void io_timer_stop(io_set_t *io, io_timer_t *self)
{
    if (!self->is_set)
        return;
    /* The clock may now be early, which only costs a wake-up. */
    take_out(io_set_timers(io), self);
}

/* Most timers of a process have about the same length, so their place is near the end. */
void io_timer_at(io_set_t *io, io_timer_t *self, int64_t when)
{
    io_timers_t *timers = io_set_timers(io);
    io_timer_stop(io, self);
    if (when == INT64_MAX)
        return;
    int64_t now = util_monotonic_us();
    self->when = when > now ? when : now; /* behind those that are due in this wake-up */
    self->is_set = true;
    io_timer_t *before = TAILQ_LAST(&timers->queue, io_timer_queue);
    while (before && before->when > when)
        before = TAILQ_PREV(before, io_timer_queue, link);
    if (before) {
        TAILQ_INSERT_AFTER(&timers->queue, before, self, link);
    } else {
        TAILQ_INSERT_HEAD(&timers->queue, self, link);
        set_clock(timers);
    }
}

void io_timer_in(io_set_t *io, io_timer_t *self, int64_t ms)
{
    io_timer_at(io, self, util_monotonic_us() + ms * US_PER_MS);
}

void io_timer_advance(io_set_t *io, io_timer_t *self, int64_t when)
{
    if (!self->is_set || when < self->when)
        io_timer_at(io, self, when);
}
