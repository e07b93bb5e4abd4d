/* Requests that come in: checked, given a place in a queue, or refused at once. */
#include "broker/router_internal.h"

#include "common/failpoint.h"
#include "common/util.h"

static const uint8_t no_body[1] = {0x80};

void router_refuse(router_t *self, arrival_t *arrival, const status_t *st)
{
    (void)self;
    msg_reply_t header = {
        .v = 1, .id = arrival->header.id, .status = (uint32_t)st->code, .message = st->text};
    zmq_msg_t frame;
    frame_encode(&frame, MSG_reply, &header);
    route_send(arrival->socket, arrival->identity, arrival->delimited, &frame, NULL);
    zmq_msg_close(&frame);
}

static status_code_t check(router_t *self, arrival_t *arrival, const method_t *method, status_t *st)
{
    const msg_header_t *header = &arrival->header;
    if (!method)
        return status_set(st, STATUS_UNIMPLEMENTED, "unknown method %s", header->method);
    if (method->class == CLASS_INTERNAL && arrival->socket != &self->workers)
        return status_set(st, STATUS_PERMISSION_DENIED, "%s is for workers only", method->name);
    if (zmq_msg_size(arrival->body) > MSG_BODY_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: body is %zu bytes long, limit %u",
                          method->name, zmq_msg_size(arrival->body), MSG_BODY_MAX);
    if (!method->seconds && zmq_msg_size(arrival->body) > SERVICE_WAIT_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s: body is %zu bytes long, limit %u where nothing limits the time",
                          method->name, zmq_msg_size(arrival->body), SERVICE_WAIT_BYTES);
    return STATUS_OK;
}

/* Of a request that is not under way: one that is has begun, whatever its clock says now. */
static status_code_t check_room(router_t *self, const arrival_t *arrival, const method_t *method,
                                status_t *st)
{
    int64_t deadline = arrival->header.deadline;
    if (deadline && deadline <= util_now_ms())
        return status_set(st, STATUS_DEADLINE_EXCEEDED,
                          "%s: the deadline has passed before it began", method->name);
    if (zhashx_size(self->jobs) >= ROUTER_JOBS_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "broker: %d requests wait for answers",
                          ROUTER_JOBS_MAX);
    if (!method->seconds && method->service->waits >= SERVICE_WAITS_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "%s: %d requests wait without a deadline",
                          method->service->name, SERVICE_WAITS_MAX);
    if (unread_check(self->unread, arrival->socket, arrival->identity, UNREAD_SMALL, st))
        return st->code;
    if (method->service->failed)
        return status_set(st, STATUS_UNAVAILABLE, "%s: the worker cannot be started",
                          method->service->name);
    return STATUS_OK;
}

/* Milliseconds since the epoch, 0 for none. */
static int64_t deadline_of(const msg_header_t *header, const method_t *method)
{
    int64_t now = util_now_ms();
    if (header->deadline > now + ROUTER_DEADLINE_MAX_MS)
        return now + ROUTER_DEADLINE_MAX_MS;
    if (header->deadline || !method->seconds)
        return header->deadline;
    return now + (int64_t)method->seconds * 1000;
}

/* The same request again, from a client that lost a broker or its patience: it waits for the same
 * answer, until its own deadline. */
static void join(router_t *self, arrival_t *arrival, job_t *job, const method_t *method,
                 const msg_peer_t *peer)
{
    if (job->peer.uid != peer->uid || strcmp(job->method, arrival->header.method)) {
        status_t st;
        status_set(&st, STATUS_ALREADY_EXISTS, "%s: the request id is in use",
                   arrival->header.method);
        router_refuse(self, arrival, &st);
        return;
    }
    job_add_route(job, arrival->socket, arrival->identity, arrival->delimited,
                  deadline_of(&arrival->header, method));
    router_watch_deadline(self, job);
}

static job_lane_t lane_of(const method_t *method, bool is_client)
{
    if (method->class == CLASS_URGENT)
        return LANE_URGENT;
    return method->class == CLASS_READ && is_client ? LANE_READ : LANE_WORK;
}

static job_t *job_from(arrival_t *arrival, const method_t *method, const msg_peer_t *peer,
                       job_lane_t lane)
{
    const msg_header_t *header = &arrival->header;
    job_t *job = job_new(&header->id);
    job->service = method->service;
    job->method = method->name;
    job->redelivery = method->redelivery;
    job->class = method->class;
    job->lane = lane;
    job->peer = *peer;
    job->takes_slot = method->seconds != 0;
    snprintf(job->ns, sizeof job->ns, "%s", header->ns ? header->ns : "");
    zmq_msg_move(&job->body, arrival->body);
    job->body_size = zmq_msg_size(&job->body);
    if (job->body_size == 0) {
        zmq_msg_close(&job->body);
        zmq_msg_init_size(&job->body, sizeof no_body);
        memcpy(zmq_msg_data(&job->body), no_body, sizeof no_body);
    }
    job_add_route(job, arrival->socket, arrival->identity, arrival->delimited,
                  deadline_of(header, method));
    return job;
}

/* Whether nobody can have carried it out yet. */
static bool is_first(router_t *self, const msg_header_t *header, const method_t *method)
{
    if (method->class != CLASS_WRITE && method->class != CLASS_URGENT)
        return header->first; /* it may run again */
    int64_t now = util_monotonic_us();
    if (!header->first)
        resent_note(self->resent, &header->id, now);
    return header->first && resent_is_first(self->resent, &header->id, now);
}

void router_take_request(router_t *self, arrival_t *arrival)
{
    status_t st;
    const method_t *method = zhashx_lookup(self->methods, arrival->header.method);
    if (check(self, arrival, method, &st)) {
        router_refuse(self, arrival, &st);
        return;
    }
    if (FAILPOINT(&st, "take %s", method->name)) {
        router_refuse(self, arrival, &st);
        return;
    }
    if (router_answer_itself(self, arrival, method))
        return;
    msg_peer_t peer = peer_of_frame(arrival->header_frame);
    bool first = is_first(self, &arrival->header, method);
    job_t *job = zhashx_lookup(self->jobs, &arrival->header.id);
    if (job) {
        job->is_first = job->is_first && first;
        join(self, arrival, job, method, &peer);
        return;
    }
    if (check_room(self, arrival, method, &st)) {
        router_refuse(self, arrival, &st);
        return;
    }
    bool is_client = arrival->socket == &self->clients;
    job = job_from(arrival, method, &peer, lane_of(method, is_client));
    job->is_first = first;
    job->serial = ++self->serial;
    job->arrived = util_now_ns();
    if (service_enqueue(method->service, job, false, &st)) {
        job_fail(job, &st);
        job_destroy(&job);
        return;
    }
    zhashx_insert(self->jobs, &job->id, job);
    router_watch_deadline(self, job);
    router_dispatch(self, method->service);
}
