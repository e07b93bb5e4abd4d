/* Handing connections to a keeper that has just come, or had no room for them. */
#include "workers/shim/keeping.h"

#include "common/cluster.h"
#include "common/keep.h"

#include <sys/epoll.h>

#define AGAIN_MS 50 /* before what a keeper had no room for is handed to it again */

static void hand_over(void *arg)
{
    manager_t *self = arg;
    bool is_complete = true;
    for (shim_t *shim = zhashx_first(self->shims); shim; shim = zhashx_next(self->shims))
        is_complete &= shim_keep(shim);
    if (!is_complete)
        io_timer_in(self->io, &self->keeping, AGAIN_MS);
}

void keeping_new(manager_t *self, shim_t *shim)
{
    if (!shim_keep(shim) && !self->keeping.is_set)
        io_timer_in(self->io, &self->keeping, AGAIN_MS);
}

static void on_word(void *arg, int fd, uint32_t events)
{
    manager_t *self = arg;
    (void)events;
    if (!keep_read_word(fd)) {
        io_set_remove(self->io, fd);
        return;
    }
    for (shim_t *shim = zhashx_first(self->shims); shim; shim = zhashx_next(self->shims))
        shim_not_kept(shim);
    hand_over(self);
}

void keeping_start(manager_t *self)
{
    io_timer_init(&self->keeping, hand_over, self);
    if (cluster_keep_channel() >= 0)
        io_set_add(self->io, cluster_keep_channel(), EPOLLIN, on_word, self);
}

void keeping_stop(manager_t *self)
{
    io_timer_stop(self->io, &self->keeping);
    io_set_remove(self->io, cluster_keep_channel());
}
