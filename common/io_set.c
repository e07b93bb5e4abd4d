/* The loop: descriptors, then timers, then ZeroMQ sockets, and the time until the next turn. */
#include "common/io_set_internal.h"

#include "common/util.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define EVENTS_PER_WAKEUP 64
#define US_PER_SECOND     1000000
#define US_PER_MS         1000
#define NS_PER_US         1000

typedef struct io_watch {
    int fd;
    io_handler_t *handler;
    void *arg;
} io_watch_t;

struct io_set {
    struct io_timer_queue timers;
    io_zmqs_t zmqs;
    bool in_turn, stopped;
    zloop_t *loop; /* NULL where io_set_run serves the set */
    int alarm;     /* in a zloop: the timerfd that says when the next turn is due */
    int64_t alarm_at;
    int epoll;
    /* Watches by descriptor; slots of removed ones are NULL. An event carries the watch's serial
     * in its upper half, so that one collected before a removal is not taken for its successor. */
    struct {
        io_watch_t *watch;
        uint32_t serial;
    } * slots;
    size_t slot_count;
};

/* Turns ------------------------------------------------------------------------------------------
 */

/* When the next turn is due even if no descriptor becomes ready: util_monotonic_us, 0 for at once,
 * INT64_MAX for never. */
static int64_t next_turn(const io_set_t *self)
{
    if (!TAILQ_EMPTY(&self->zmqs.queue))
        return 0;
    const io_timer_t *first = TAILQ_FIRST(&self->timers);
    return first ? first->when : INT64_MAX;
}

static int timeout_until(int64_t when)
{
    if (when == 0 || when == INT64_MAX)
        return when ? -1 : 0;
    int64_t left = when - util_monotonic_us();
    if (left <= 0)
        return 0;
    int64_t ms = (left + US_PER_MS - 1) / US_PER_MS;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void turn(io_set_t *self, int timeout_ms)
{
    struct epoll_event events[EVENTS_PER_WAKEUP];
    int count = epoll_wait(self->epoll, events, EVENTS_PER_WAKEUP, timeout_ms);
    self->in_turn = true;
    for (int i = 0; i < count; i++) {
        int fd = (int)(uint32_t)events[i].data.u64;
        uint32_t serial = (uint32_t)(events[i].data.u64 >> 32);
        io_watch_t *watch = self->slots[fd].watch;
        if (watch && self->slots[fd].serial == serial)
            watch->handler(watch->arg, fd, events[i].events);
    }
    io_timers_fire(&self->timers);
    io_zmqs_serve(&self->zmqs);
    self->in_turn = false;
}

void io_set_turn(io_set_t *self)
{
    assert(!self->in_turn);
    turn(self, timeout_until(next_turn(self)));
    io_set_wake(self);
}

void io_set_run(io_set_t *self)
{
    self->stopped = false;
    if (self->loop)
        zloop_start(self->loop);
    while (!self->loop && !self->stopped)
        io_set_turn(self);
}

void io_set_stop(io_set_t *self)
{
    self->stopped = true;
}

/* In a zloop ------------------------------------------------------------------------------------
 */

static int on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void)loop;
    (void)item;
    io_set_t *self = arg;
    turn(self, 0);
    io_set_wake(self);
    return self->stopped ? -1 : 0;
}

static void on_alarm(void *arg, int fd, uint32_t events)
{
    io_set_t *self = arg;
    uint64_t expirations;
    (void)events;
    if (read(fd, &expirations, sizeof expirations) == sizeof expirations)
        self->alarm_at = INT64_MAX;
}

/* An alarm that is early only costs a turn, so it is never set to a later time. */
void io_set_wake(io_set_t *self)
{
    if (!self->loop || self->in_turn)
        return;
    int64_t at = next_turn(self);
    if (at >= self->alarm_at)
        return;
    self->alarm_at = at;
    at = at > 0 ? at : 1; /* all zero would stop it */
    struct itimerspec spec = {
        .it_value = {.tv_sec = at / US_PER_SECOND, .tv_nsec = at % US_PER_SECOND * NS_PER_US}};
    timerfd_settime(self->alarm, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void nest(io_set_t *self, zloop_t *loop)
{
    self->loop = loop;
    self->alarm_at = INT64_MAX;
    self->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->alarm < 0 || io_set_add(self, self->alarm, EPOLLIN, on_alarm, self))
        abort();
    zmq_pollitem_t item = {.fd = self->epoll, .events = ZMQ_POLLIN};
    zloop_poller(loop, &item, on_ready, self);
    io_set_wake(self);
}

/* Life ------------------------------------------------------------------------------------------
 */

io_set_t *io_set_new(zloop_t *loop)
{
    io_set_t *self = zmalloc(sizeof *self);
    TAILQ_INIT(&self->timers);
    TAILQ_INIT(&self->zmqs.queue);
    self->alarm = -1;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0)
        abort();
    if (loop)
        nest(self, loop);
    return self;
}

void io_set_destroy(io_set_t **self_p)
{
    io_set_t *self = *self_p;
    if (!self)
        return;
    if (self->loop) {
        zmq_pollitem_t item = {.fd = self->epoll, .events = ZMQ_POLLIN};
        zloop_poller_end(self->loop, &item);
        util_close(&self->alarm);
    }
    for (size_t fd = 0; fd < self->slot_count; fd++)
        free(self->slots[fd].watch);
    free(self->slots);
    util_close(&self->epoll);
    free(self);
    *self_p = NULL;
}

struct io_timer_queue *io_set_timers(io_set_t *self)
{
    return &self->timers;
}

io_zmqs_t *io_set_zmqs(io_set_t *self)
{
    return &self->zmqs;
}

/* Descriptors -----------------------------------------------------------------------------------
 */
static void reserve_slot(io_set_t *self, int fd)
{
    size_t need = (size_t)fd + 1;
    if (need <= self->slot_count)
        return;
    size_t count = self->slot_count ? self->slot_count : 64;
    while (count < need)
        count *= 2;
    void *slots = realloc(self->slots, count * sizeof *self->slots);
    if (!slots)
        abort();
    self->slots = slots;
    memset(&self->slots[self->slot_count], 0, (count - self->slot_count) * sizeof *self->slots);
    self->slot_count = count;
}

static struct epoll_event event_of(io_set_t *self, int fd, uint32_t events)
{
    uint64_t serial = self->slots[fd].serial;
    return (struct epoll_event){.events = events, .data.u64 = serial << 32 | (uint32_t)fd};
}

int io_set_add(io_set_t *self, int fd, uint32_t events, io_handler_t *handler, void *arg)
{
    if (fd < 0) {
        errno = EBADF;
        return -1;
    }
    reserve_slot(self, fd);
    if (self->slots[fd].watch) {
        errno = EEXIST;
        return -1;
    }
    self->slots[fd].serial++;
    struct epoll_event event = event_of(self, fd, events);
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event))
        return -1;
    io_watch_t *watch = zmalloc(sizeof *watch);
    *watch = (io_watch_t){.fd = fd, .handler = handler, .arg = arg};
    self->slots[fd].watch = watch;
    return 0;
}

void io_set_change(io_set_t *self, int fd, uint32_t events)
{
    assert(fd >= 0 && (size_t)fd < self->slot_count && self->slots[fd].watch);
    struct epoll_event event = event_of(self, fd, events);
    epoll_ctl(self->epoll, EPOLL_CTL_MOD, fd, &event);
}

void io_set_remove(io_set_t *self, int fd)
{
    if (fd < 0 || (size_t)fd >= self->slot_count || !self->slots[fd].watch)
        return;
    epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
    free(self->slots[fd].watch);
    self->slots[fd].watch = NULL;
}
