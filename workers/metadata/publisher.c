/* The event stream. */
#include "workers/metadata/publisher.h"

#include "common/frame.h"
#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"

#include <errno.h>

#define SILENCE_MS       900  /* after the last event */
#define IDLE_SYNC_MS     1000 /* after the last .sync */
#define RECONNECT_MS     10
#define RECONNECT_MAX_MS 200

struct publisher {
    io_set_t *io;
    zsock_t *pub;
    void *socket; /* the raw one inside `pub` */
    io_timer_t sync;
    uint64_t last;
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

static void on_silence(void *arg)
{
    publisher_t *self = arg;
    send_sync(self);
    io_timer_in(self->io, &self->sync, IDLE_SYNC_MS);
}

publisher_t *publisher_new(io_set_t *io, const char *endpoint, uint64_t last, status_t *st)
{
    publisher_t *self = zmalloc(sizeof *self);
    *self = (publisher_t){.io = io, .last = last};
    io_timer_init(&self->sync, on_silence, self);
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
    io_timer_in(io, &self->sync, IDLE_SYNC_MS);
    return self;
}

void publisher_destroy(publisher_t **self_p)
{
    publisher_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->sync);
    zsock_destroy(&self->pub);
    free(self);
    *self_p = NULL;
}

static void free_news(void *data, void *news)
{
    (void)data;
    free(news);
}

void publisher_send(void *arg, news_t *news)
{
    publisher_t *self = arg;
    for (news_t *next; news; news = next) {
        zmq_msg_t event;
        next = news->next;
        zmq_msg_init_data(&event, news->data, news->size, free_news, news);
        if (frame_send(self->socket, news->key, strlen(news->key), true) ||
            frame_move(self->socket, &event, false))
            log_warn("publish %s: %s", news->key, zmq_strerror(errno));
        zmq_msg_close(&event);
        self->last++; /* every event of the journal passes here, and its numbers are contiguous */
    }
    io_timer_in(self->io, &self->sync, SILENCE_MS);
}
