/* Plain descriptors watched through one epoll descriptor nested in a zloop. */
#include "common/io_set_internal.h"

#include "common/util.h"

#include <errno.h>
#include <sys/epoll.h>

#define EVENTS_PER_WAKEUP 64

typedef struct io_watch {
    int fd;
    io_handler_t *handler;
    void *arg;
} io_watch_t;

struct io_set {
    zloop_t *loop;
    io_timers_t *timers;
    int epoll;
    /* Watches by descriptor; slots of removed ones are NULL. An event carries the watch's serial
     * in its upper half, so that one collected before a removal is not taken for its successor. */
    struct {
        io_watch_t *watch;
        uint32_t serial;
    } * slots;
    size_t slot_count;
};

static int on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void)loop;
    (void)item;
    io_set_t *self = arg;
    struct epoll_event events[EVENTS_PER_WAKEUP];
    int count = epoll_wait(self->epoll, events, EVENTS_PER_WAKEUP, 0);
    for (int i = 0; i < count; i++) {
        int fd = (int)(uint32_t)events[i].data.u64;
        uint32_t serial = (uint32_t)(events[i].data.u64 >> 32);
        io_watch_t *watch = self->slots[fd].watch;
        if (watch && self->slots[fd].serial == serial)
            watch->handler(watch->arg, fd, events[i].events);
    }
    return 0;
}

io_set_t *io_set_new(zloop_t *loop)
{
    io_set_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0)
        abort();
    zmq_pollitem_t item = {.fd = self->epoll, .events = ZMQ_POLLIN};
    zloop_poller(loop, &item, on_ready, self);
    self->timers = io_timers_new(self);
    return self;
}

void io_set_destroy(io_set_t **self_p)
{
    io_set_t *self = *self_p;
    if (!self)
        return;
    zmq_pollitem_t item = {.fd = self->epoll, .events = ZMQ_POLLIN};
    zloop_poller_end(self->loop, &item);
    io_timers_destroy(&self->timers);
    for (size_t fd = 0; fd < self->slot_count; fd++)
        free(self->slots[fd].watch);
    free(self->slots);
    util_close(&self->epoll);
    free(self);
    *self_p = NULL;
}

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

io_timers_t *io_set_timers(io_set_t *self)
{
    return self->timers;
}
