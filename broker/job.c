/* A request the broker is responsible for. */
#include "broker/job.h"

#include "common/frame.h"
#include "common/util.h"

#include <czmq.h>

job_t *job_new(const msg_uuid_t *id)
{
    job_t *self = zmalloc(sizeof *self);
    self->id = *id;
    zmq_msg_init(&self->body);
    return self;
}

void job_destroy(job_t **self_p)
{
    job_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->route_count; i++)
        zmq_msg_close(&self->routes[i].identity);
    zmq_msg_close(&self->body);
    free(self);
    *self_p = NULL;
}

static bool same_identity(zmq_msg_t *a, zmq_msg_t *b)
{
    return zmq_msg_size(a) == zmq_msg_size(b) &&
           !memcmp(zmq_msg_data(a), zmq_msg_data(b), zmq_msg_size(a));
}

void job_add_route(job_t *self, void *socket, zmq_msg_t *identity, bool delimited)
{
    for (size_t i = 0; i < self->route_count; i++)
        if (self->routes[i].socket == socket && same_identity(&self->routes[i].identity, identity))
            return;
    if (self->route_count == JOB_ROUTES_MAX) {
        zmq_msg_close(&self->routes[0].identity);
        memmove(&self->routes[0], &self->routes[1], (JOB_ROUTES_MAX - 1) * sizeof(route_t));
        self->route_count--;
    }
    route_t *route = &self->routes[self->route_count++];
    route->socket = socket;
    route->delimited = delimited;
    zmq_msg_init(&route->identity);
    zmq_msg_copy(&route->identity, identity);
}

/* A client that is gone is no error: ROUTER drops what it cannot deliver. */
void route_send(void *socket, zmq_msg_t *identity, bool delimited, zmq_msg_t *header,
                zmq_msg_t *body)
{
    static const uint8_t empty_map = 0x80;
    zmq_msg_t copy;
    zmq_msg_init(&copy);
    zmq_msg_copy(&copy, identity);
    int failed = frame_move(socket, &copy, true);
    if (!failed && delimited)
        failed = frame_send(socket, "", 0, true);
    if (!failed) {
        zmq_msg_copy(&copy, header);
        failed = frame_move(socket, &copy, true);
    }
    if (!failed && body) {
        zmq_msg_copy(&copy, body);
        failed = frame_move(socket, &copy, false);
    } else if (!failed) {
        frame_send(socket, &empty_map, 1, false);
    }
    zmq_msg_close(&copy);
}

void job_answer(job_t *self, zmq_msg_t *header, zmq_msg_t *body)
{
    for (size_t i = 0; i < self->route_count; i++) {
        route_t *route = &self->routes[i];
        route_send(route->socket, &route->identity, route->delimited, header, body);
        zmq_msg_close(&route->identity);
    }
    self->route_count = 0;
}

void job_fail(job_t *self, const status_t *st)
{
    msg_reply_t header = {
        .v = 1, .id = self->id, .status = (uint32_t)st->code, .message = st->text};
    zmq_msg_t frame;
    frame_encode(&frame, MSG_reply, &header);
    job_answer(self, &frame, NULL);
    zmq_msg_close(&frame);
}
