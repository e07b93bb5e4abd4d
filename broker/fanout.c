/* Events from publishers to subscribers. */
#include "broker/fanout.h"

#include "common/io_zmq.h"

struct fanout {
    io_zmq_t publish, events;
    uint64_t count;
};

/* Passes one whole message on. False when there is none. */
static bool pass(io_zmq_t *from, io_zmq_t *to)
{
    bool any = false, more = true;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, from->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return any;
        }
        any = true;
        more = zmq_msg_more(&frame);
        if (zmq_msg_send(&frame, to->socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
            zmq_msg_close(&frame);
    }
    io_zmq_used(to);
    return any;
}

static bool on_event(void *arg)
{
    fanout_t *self = arg;
    bool any = pass(&self->publish, &self->events);
    self->count += any;
    return any;
}

static bool on_subscription(void *arg)
{
    fanout_t *self = arg;
    return pass(&self->events, &self->publish);
}

fanout_t *fanout_new(io_set_t *io, void *publish, void *events)
{
    fanout_t *self = zmalloc(sizeof *self);
    io_zmq_start(&self->publish, io, publish, on_event, self);
    io_zmq_start(&self->events, io, events, on_subscription, self);
    return self;
}

void fanout_destroy(fanout_t **self_p)
{
    fanout_t *self = *self_p;
    if (!self)
        return;
    io_zmq_stop(&self->publish);
    io_zmq_stop(&self->events);
    free(self);
    *self_p = NULL;
}

const uint64_t *fanout_count(const fanout_t *self)
{
    return &self->count;
}
