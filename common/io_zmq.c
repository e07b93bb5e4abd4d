/* ZeroMQ sockets in an io_set. */
#include "common/io_zmq.h"

#include "common/io_set_internal.h"

#include <sys/epoll.h>
#include <zmq.h>

static void enqueue(io_zmq_t *self)
{
    TAILQ_INSERT_TAIL(&io_set_zmqs(self->io)->queue, self, link);
    self->is_queued = true;
}

static void dequeue(io_zmq_t *self)
{
    TAILQ_REMOVE(&io_set_zmqs(self->io)->queue, self, link);
    self->is_queued = false;
}

/* The one that is looked at just now is asked until it has nothing, or queued again. */
void io_zmq_used(io_zmq_t *self)
{
    if (self->is_queued || io_set_zmqs(self->io)->current == self)
        return;
    enqueue(self);
    io_set_wake(self->io);
}

static void on_commands(void *arg, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    io_zmq_used(arg);
}

/* Looks at those of the queue in turn, also at those that come into it meanwhile. What is left when
 * the budget is used up keeps the loop from sleeping. */
void io_zmqs_serve(io_zmqs_t *self)
{
    int budget = IO_ZMQ_TURN;
    io_zmq_t *zmq;
    while (budget > 0 && (zmq = TAILQ_FIRST(&self->queue))) {
        dequeue(zmq);
        self->current = zmq;
        bool more = true;
        for (int i = 0; more && self->current && i < IO_ZMQ_BURST && budget > 0; i++, budget--)
            more = zmq->handler(zmq->arg);
        if (more && self->current)
            enqueue(zmq);
        self->current = NULL;
    }
}

void io_zmq_start(io_zmq_t *self, io_set_t *io, void *socket, io_zmq_handler_t *handler, void *arg)
{
    *self = (io_zmq_t){.socket = socket, .io = io, .fd = -1, .handler = handler, .arg = arg};
    size_t size = sizeof self->fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &self->fd, &size) ||
        io_set_add(io, self->fd, EPOLLIN, on_commands, self))
        abort();
    io_zmq_used(self); /* what came before does not show in the descriptor */
}

void io_zmq_stop(io_zmq_t *self)
{
    if (!self->io)
        return;
    io_zmqs_t *zmqs = io_set_zmqs(self->io);
    if (self->is_queued)
        dequeue(self);
    if (zmqs->current == self)
        zmqs->current = NULL;
    io_set_remove(self->io, self->fd);
    self->io = NULL;
}
