/* Events from publishers to subscribers. */
#include "broker/fanout.h"

#define DRAIN_MAX 1024 /* messages in one wake-up, so that requests are not starved by events */

struct fanout {
    zloop_t *loop;
    void *publish, *events;
    uint64_t count;
};

/* Passes one whole message on. False when there is none. */
static bool pass(void *from, void *to)
{
    bool any = false, more = true;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, from, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return any;
        }
        any = true;
        more = zmq_msg_more(&frame);
        if (zmq_msg_send(&frame, to, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
            zmq_msg_close(&frame);
    }
    return any;
}

static int on_event(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    fanout_t *self = arg;
    (void)loop;
    (void)item;
    for (int i = 0; i < DRAIN_MAX && pass(self->publish, self->events); i++)
        self->count++;
    return 0;
}

static int on_subscription(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    fanout_t *self = arg;
    (void)loop;
    (void)item;
    for (int i = 0; i < DRAIN_MAX && pass(self->events, self->publish); i++) {
    }
    return 0;
}

fanout_t *fanout_new(zloop_t *loop, void *publish, void *events)
{
    fanout_t *self = zmalloc(sizeof *self);
    *self = (fanout_t){.loop = loop, .publish = publish, .events = events};
    zmq_pollitem_t items[] = {{.socket = publish, .events = ZMQ_POLLIN},
                              {.socket = events, .events = ZMQ_POLLIN}};
    zloop_poller(loop, &items[0], on_event, self);
    zloop_poller(loop, &items[1], on_subscription, self);
    return self;
}

void fanout_destroy(fanout_t **self)
{
    free(*self);
    *self = NULL;
}

const uint64_t *fanout_count(const fanout_t *self)
{
    return &self->count;
}
