/* The event stream. */
#include "workers/metadata/publisher.h"

#include "common/frame.h"
#include "common/log.h"
#include "common/util.h"

#include <errno.h>

#define TICK_MS          250
#define SILENCE_MS       750  /* after the last event, so that with a tick it is within a second */
#define IDLE_SYNC_MS     1000 /* after the last .sync */
#define RECONNECT_MS     10
#define RECONNECT_MAX_MS 200

struct publisher {
    zloop_t *loop;
    zsock_t *pub;
    void *socket; /* the raw one inside `pub` */
    int timer;
    uint64_t last;
    int64_t sync_due; /* monotonic us */
};

static void send_sync(publisher_t *self)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "seq", 3);
    msgpack_pack_uint64(&packer, self->last);
    if (!frame_send(self->socket, PUBLISHER_SYNC_KEY, strlen(PUBLISHER_SYNC_KEY), true))
        frame_send(self->socket, buffer.data, buffer.size, false);
    msgpack_sbuffer_destroy(&buffer);
}

static int on_tick(zloop_t *loop, int timer, void *arg)
{
    publisher_t *self = arg;
    (void)loop;
    (void)timer;
    int64_t now = util_monotonic_us();
    if (now < self->sync_due)
        return 0;
    send_sync(self);
    /* A tick's length less, because the next tick may come a little early. */
    self->sync_due = now + (IDLE_SYNC_MS - TICK_MS / 2) * 1000;
    return 0;
}

publisher_t *publisher_new(zloop_t *loop, const char *endpoint, uint64_t last, status_t *st)
{
    publisher_t *self = zmalloc(sizeof *self);
    *self = (publisher_t){.loop = loop, .last = last, .timer = -1};
    self->pub = zsock_new(ZMQ_PUB);
    if (!self->pub) {
        status_errno(st, errno, "make a socket");
        publisher_destroy(&self);
        return NULL;
    }
    self->socket = zsock_resolve(self->pub);
    zsock_set_sndhwm(self->pub, PUBLISHER_HIGH_WATER);
    zsock_set_linger(self->pub, 1000); /* the last events of a process that stops */
    zsock_set_reconnect_ivl(self->pub, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(self->pub, RECONNECT_MAX_MS);
    if (zsock_connect(self->pub, "%s", endpoint)) {
        status_errno(st, errno, "connect to %s", endpoint);
        publisher_destroy(&self);
        return NULL;
    }
    self->timer = zloop_timer(loop, TICK_MS, 0, on_tick, self);
    return self;
}

void publisher_destroy(publisher_t **self_p)
{
    publisher_t *self = *self_p;
    if (!self)
        return;
    if (self->timer >= 0)
        zloop_timer_end(self->loop, self->timer);
    zsock_destroy(&self->pub);
    free(self);
    *self_p = NULL;
}

static void free_data(void *data, void *hint)
{
    (void)hint;
    free(data);
}

void publisher_send(void *arg, news_t *news)
{
    publisher_t *self = arg;
    for (; news; news = news->next) {
        zmq_msg_t event;
        zmq_msg_init_data(&event, TAKE(news->data), news->size, free_data, NULL);
        if (frame_send(self->socket, news->key, strlen(news->key), true) ||
            frame_move(self->socket, &event, false))
            log_warn("publish %s: %s", news->key, zmq_strerror(errno));
        zmq_msg_close(&event);
        self->last++; /* every event of the journal passes here, and its numbers are contiguous */
    }
    self->sync_due = util_monotonic_us() + SILENCE_MS * 1000;
}
