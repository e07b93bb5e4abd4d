/* The router's sockets and loop: messages in, taken apart, sorted into requests, answers and
 * notices. */
#include "broker/router_internal.h"

#include "common/log.h"
#include "common/util.h"
#include "common/uuid_table.h"

/* [identity]([empty])[header][body]; anything else has nowhere to be answered to or nothing to say.
 */
static bool take_apart(frame_set_t *set, io_zmq_t *socket, arrival_t *arrival)
{
    *arrival = (arrival_t){.socket = socket, .identity = &set->frames[0]};
    /* A REQ socket drops an answer without its empty frame, that to a malformed message too. */
    arrival->delimited = set->count > 1 && zmq_msg_size(&set->frames[1]) == 0;
    if (set->count != (arrival->delimited ? 4 : 3))
        return false;
    arrival->header_frame = &set->frames[set->count - 2];
    arrival->body = &set->frames[set->count - 1];
    return true;
}

/* The id of a header that is no good otherwise, so that the asker can tell what was refused. */
static void find_id(arrival_t *arrival, msgpack_zone *zone)
{
    msg_header_id_t only;
    status_t st;
    if (!msg_decode(MSG_header_id, zmq_msg_data(arrival->header_frame),
                    zmq_msg_size(arrival->header_frame), zone, &only, &st))
        arrival->header.id = only.id;
}

static void handle(router_t *self, frame_set_t *set, io_zmq_t *socket)
{
    arrival_t arrival;
    status_t st = {.code = STATUS_OK};
    if (!take_apart(set, socket, &arrival)) {
        self->malformed++;
        if (frame_set_kept(set) < 2)
            return;
        status_set(&st, STATUS_INVALID_ARGUMENT, "message has %zu frames, header and body expected",
                   set->count - (arrival.delimited ? 2 : 1));
        router_refuse(self, &arrival, &st);
        return;
    }
    size_t size = zmq_msg_size(arrival.header_frame);
    if (size > MSG_HEADER_MAX)
        status_set(&st, STATUS_INVALID_ARGUMENT, "header is %zu bytes long, limit %u", size,
                   MSG_HEADER_MAX);
    else if (!msg_decode(MSG_header, zmq_msg_data(arrival.header_frame), size, &self->zone,
                         &arrival.header, &st) &&
             arrival.header.v != 1)
        status_set(&st, STATUS_INVALID_ARGUMENT, "header: v is %u, 1 expected", arrival.header.v);
    if (st.code) {
        self->malformed++;
        if (size <= MSG_HEADER_MAX)
            find_id(&arrival, &self->zone);
        router_refuse(self, &arrival, &st);
        return;
    }
    if (!arrival.header.method && socket == &self->workers) {
        router_take_answer(self, &arrival);
    } else if (!arrival.header.method) {
        status_set(&st, STATUS_INVALID_ARGUMENT, "header: method is missing");
        router_refuse(self, &arrival, &st);
    } else {
        msg_id_t id = socket == &self->workers ? msg_find(arrival.header.method) : MSG_COUNT;
        if (id != MSG_COUNT && msg_type(id)->service == SERVICE_LINK)
            router_take_notice(self, &arrival, id);
        else
            router_take_request(self, &arrival);
    }
}

static bool receive(router_t *self, io_zmq_t *socket)
{
    frame_set_t set;
    if (!frame_receive(socket->socket, &set))
        return false;
    handle(self, &set, socket);
    frame_set_close(&set);
    msgpack_zone_clear(&self->zone);
    return true;
}

static bool on_client(void *arg)
{
    router_t *self = arg;
    return receive(self, &self->clients);
}

static bool on_worker(void *arg)
{
    router_t *self = arg;
    return receive(self, &self->workers);
}

static void service_free(void **item)
{
    service_destroy((service_t **)item);
}

static void job_free(void **item)
{
    job_destroy((job_t **)item);
}

static void method_free(void **item)
{
    free(*item);
    *item = NULL;
}

/* Keys are members of their items. */
static zhashx_t *name_table_new(void (*destructor)(void **))
{
    zhashx_t *table = zhashx_new();
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    zhashx_set_destructor(table, destructor);
    return table;
}

router_t *router_new(io_set_t *io, void *clients, void *workers)
{
    router_t *self = zmalloc(sizeof *self);
    *self = (router_t){.io = io,
                       .hangs_due = util_monotonic_us(),
                       .jobs = uuid_table_new(),
                       .services = name_table_new(service_free),
                       .methods = name_table_new(method_free),
                       .resent = resent_new(),
                       .unread = unread_new(&self->clients)};
    zhashx_set_destructor(self->jobs, job_free);
    msgpack_zone_init(&self->zone, MSGPACK_ZONE_CHUNK_SIZE);
    router_know_methods(self);
    io_zmq_start(&self->workers, io, workers, on_worker, self);
    io_zmq_start(&self->clients, io, clients, on_client, self);
    io_timer_init(&self->expiry, router_expire, self);
    io_timer_init(&self->calm, router_calm, self);
    io_timer_init(&self->hangs, router_check_hangs, self);
    router_check_hangs(self);
    return self;
}

void router_destroy(router_t **self_p)
{
    router_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->expiry);
    io_timer_stop(self->io, &self->calm);
    io_timer_stop(self->io, &self->hangs);
    io_zmq_stop(&self->clients);
    io_zmq_stop(&self->workers);
    zhashx_destroy(&self->jobs);
    zhashx_destroy(&self->methods);
    resent_destroy(&self->resent);
    unread_destroy(&self->unread);
    zhashx_destroy(&self->services);
    msgpack_zone_destroy(&self->zone);
    free(self);
    *self_p = NULL;
}

void router_set_event_counter(router_t *self, const uint64_t *events)
{
    self->events = events;
}
