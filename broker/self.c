/* The methods the broker answers itself. */
#include "broker/router_internal.h"

#include "common/util.h"

void router_reply(router_t *self, arrival_t *arrival, msg_id_t id, const void *value)
{
    msg_reply_t header = {.v = 1, .id = arrival->header.id};
    status_t st;
    zmq_msg_t head, body;
    frame_encode(&head, MSG_reply, &header);
    frame_encode(&body, id, value);
    if (unread_check(self->unread, arrival->socket, arrival->identity, zmq_msg_size(&body), &st)) {
        router_refuse(self, arrival, &st);
    } else {
        unread_count(self->unread, arrival->socket, arrival->identity, &body);
        route_send(arrival->socket, arrival->identity, arrival->delimited, &head, &body);
    }
    zmq_msg_close(&head);
    zmq_msg_close(&body);
}

static void on_ping(router_t *self, arrival_t *arrival, const msg_broker_ping_t *ping)
{
    router_reply(self, arrival, MSG_broker_pong, &(msg_broker_pong_t){.payload = ping->payload});
}

static void on_status(router_t *self, arrival_t *arrival)
{
    size_t count = 0;
    int64_t now = util_monotonic_us();
    msg_service_status_t *rows = zmalloc((zhashx_size(self->services) + 1) * sizeof *rows);
    for (service_t *s = zhashx_first(self->services); s; s = zhashx_next(self->services)) {
        if (!strcmp(s->name, msg_service_name(SERVICE_BROKER)))
            continue;
        rows[count++] =
            (msg_service_status_t){.name = s->name,
                                   .pid = s->pid,
                                   .queued = service_queued(s),
                                   .in_flight = s->in_flight,
                                   .answered = s->answered,
                                   .redelivered = s->redelivered,
                                   .silent_ms = s->has_worker ? (now - s->heard) / 1000 : 0};
    }
    msg_broker_state_t state = {.services = {.items = rows, .count = count},
                                .events = self->events ? *self->events : 0,
                                .malformed = self->malformed,
                                .pid = (uint32_t)getpid()};
    router_reply(self, arrival, MSG_broker_state, &state);
    free(rows);
}

bool router_answer_itself(router_t *self, arrival_t *arrival, const method_t *method)
{
    if (arrival->socket == &self->clients && !strcmp(method->name, msg_type(MSG_request_get)->name))
        return router_answer_unfinished(self, arrival);
    if (strcmp(method->service->name, msg_service_name(SERVICE_BROKER)))
        return false;
    msg_id_t id = msg_find(method->name);
    msgpack_zone zone;
    status_t st;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    union {
        msg_broker_ping_t ping;
        msg_broker_status_t status;
        msg_broker_requests_t requests;
    } ask;
    if (msg_decode(id, zmq_msg_data(arrival->body), zmq_msg_size(arrival->body), &zone, &ask, &st))
        router_refuse(self, arrival, &st);
    else if (id == MSG_broker_ping)
        on_ping(self, arrival, &ask.ping);
    else if (id == MSG_broker_requests)
        router_answer_pending(self, arrival, &ask.requests);
    else
        on_status(self, arrival);
    msgpack_zone_destroy(&zone);
    return true;
}
