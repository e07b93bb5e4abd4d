/* A request the broker is responsible for. */
#include "broker/job.h"

#include "common/frame.h"
#include "common/util.h"

#include <czmq.h>

job_t *job_new(const msg_uuid_t *id)
{
    job_t *self = zmalloc(sizeof *self);
    self->id = *id;
    self->routes = &self->only_route;
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
    if (self->routes != &self->only_route)
        free(self->routes);
    zmq_msg_close(&self->body);
    free(self);
    *self_p = NULL;
}

static bool same_identity(zmq_msg_t *a, zmq_msg_t *b)
{
    return zmq_msg_size(a) == zmq_msg_size(b) &&
           !memcmp(zmq_msg_data(a), zmq_msg_data(b), zmq_msg_size(a));
}

static route_t *find_route(job_t *self, io_zmq_t *socket, zmq_msg_t *identity)
{
    for (size_t i = 0; i < self->route_count; i++)
        if (self->routes[i].socket == socket && same_identity(&self->routes[i].identity, identity))
            return &self->routes[i];
    return NULL;
}

static void remove_route(job_t *self, size_t index)
{
    zmq_msg_close(&self->routes[index].identity);
    self->route_count--;
    memmove(&self->routes[index], &self->routes[index + 1],
            (self->route_count - index) * sizeof(route_t));
}

static route_t *add_route(job_t *self)
{
    if (self->route_count == JOB_ROUTES_MAX) {
        remove_route(self, 0);
    } else if (self->route_count == 1 && self->routes == &self->only_route) {
        self->routes = zmalloc(JOB_ROUTES_MAX * sizeof *self->routes);
        self->routes[0] = self->only_route;
    }
    return &self->routes[self->route_count++];
}

static void find_deadline(job_t *self)
{
    self->deadline = 0;
    for (size_t i = 0; i < self->route_count; i++) {
        int64_t deadline = self->routes[i].deadline;
        if (deadline && (!self->deadline || deadline < self->deadline))
            self->deadline = deadline;
    }
}

void job_add_route(job_t *self, io_zmq_t *socket, zmq_msg_t *identity, bool delimited,
                   int64_t deadline)
{
    route_t *route = find_route(self, socket, identity);
    if (!route) {
        route = add_route(self);
        zmq_msg_init(&route->identity);
        zmq_msg_copy(&route->identity, identity);
    }
    route->socket = socket;
    route->delimited = delimited;
    route->deadline = deadline;
    find_deadline(self);
}

int64_t job_last_deadline(const job_t *self)
{
    int64_t last = self->deadline;
    for (size_t i = 0; i < self->route_count; i++) {
        if (!self->routes[i].deadline)
            return 0;
        if (self->routes[i].deadline > last)
            last = self->routes[i].deadline;
    }
    return last;
}

/* A client that is gone is no error: ROUTER drops what it cannot deliver. */
void route_send(io_zmq_t *to, zmq_msg_t *identity, bool delimited, zmq_msg_t *header,
                zmq_msg_t *body)
{
    static const uint8_t empty_map = 0x80;
    void *socket = to->socket;
    zmq_msg_t address;
    zmq_msg_init(&address);
    zmq_msg_copy(&address, identity);
    int failed = frame_move(socket, &address, true);
    if (!failed && delimited)
        failed = frame_send(socket, "", 0, true);
    if (!failed)
        failed = frame_move(socket, header, true);
    if (!failed && body)
        frame_move(socket, body, false);
    else if (!failed)
        frame_send(socket, &empty_map, 1, false);
    io_zmq_used(to);
    zmq_msg_close(&address);
}

/* `body` is moved away. */
static void send_copy(route_t *route, zmq_msg_t *header, zmq_msg_t *body)
{
    zmq_msg_t copy;
    zmq_msg_init(&copy);
    zmq_msg_copy(&copy, header);
    route_send(route->socket, &route->identity, route->delimited, &copy, body);
    zmq_msg_close(&copy);
}

static void encode_failure(const job_t *self, const status_t *st, zmq_msg_t *frame)
{
    msg_reply_t header = {
        .v = 1, .id = self->id, .status = (uint32_t)st->code, .message = st->text};
    frame_encode(frame, MSG_reply, &header);
}

static void fail_route(const job_t *self, route_t *route, const status_t *st)
{
    zmq_msg_t frame;
    encode_failure(self, st, &frame);
    route_send(route->socket, &route->identity, route->delimited, &frame, NULL);
    zmq_msg_close(&frame);
}

void job_answer(job_t *self, zmq_msg_t *header, zmq_msg_t *body, unread_t *unread)
{
    for (size_t i = 0; i < self->route_count; i++) {
        route_t *route = &self->routes[i];
        status_t st;
        zmq_msg_t copy;
        zmq_msg_init(&copy);
        zmq_msg_copy(&copy, body);
        if (self->class == CLASS_READ &&
            unread_check(unread, route->socket, &route->identity, zmq_msg_size(&copy), &st)) {
            fail_route(self, route, &st);
        } else {
            unread_count(unread, route->socket, &route->identity, &copy);
            send_copy(route, header, &copy);
        }
        zmq_msg_close(&copy);
        zmq_msg_close(&route->identity);
    }
    self->route_count = 0;
}

void job_fail(job_t *self, const status_t *st)
{
    for (size_t i = 0; i < self->route_count; i++) {
        fail_route(self, &self->routes[i], st);
        zmq_msg_close(&self->routes[i].identity);
    }
    self->route_count = 0;
}

void job_fail_late(job_t *self, const status_t *st, int64_t now)
{
    for (size_t i = self->route_count; i-- > 0;) {
        route_t *route = &self->routes[i];
        if (!route->deadline || route->deadline >= now)
            continue;
        fail_route(self, route, st);
        remove_route(self, i);
    }
    find_deadline(self);
}
