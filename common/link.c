/* One DEALER connection to the broker. */
#include "common/link.h"

#include "common/frame.h"
#include "common/log.h"
#include "common/util.h"
#include "common/uuid_table.h"

#include <errno.h>

#define RECONNECT_MS      10   /* first wait before connecting again */
#define RECONNECT_MAX_MS  200  /* it doubles up to this */
#define LINGER_MS         1000 /* for answers on the way out of a process that ends */
#define DEADLINE_TICK_MS  100  /* how often deadlines are looked at while something is pending */
#define DEADLINE_GRACE_MS 500  /* the broker answers at the deadline; this is for a dead broker */
#define TIMEOUT_MAX_MS    ((int64_t)365 * 24 * 3600 * 1000) /* a longer one counts as this */
#define DRAIN_MAX         256 /* messages taken in one wake-up, so that timers are not starved */
#define HIGH_WATER        0   /* no limit in the socket: LINK_PENDING_MAX and windows bound it */

typedef struct pending {
    msg_uuid_t id;
    msg_id_t method;
    int64_t deadline;       /* ms since the epoch, 0 for none */
    zmq_msg_t header, body; /* kept for sending again */
    status_t refused;       /* set when it is to be answered without having been sent */
    link_reply_t *reply;
    void *arg;
} pending_t;

struct link {
    zloop_t *loop;
    zsock_t *dealer;
    void *socket; /* the raw one inside `dealer` */
    zsock_t *monitor;
    zhashx_t *pending; /* by id */
    int timer;         /* deadline tick, -1 when nothing is pending */
    bool was_connected;
    link_request_t *on_request;
    link_connect_t *on_connect;
    void *arg;
};

static void pending_destroy(pending_t **self)
{
    if (!*self)
        return;
    zmq_msg_close(&(*self)->header);
    zmq_msg_close(&(*self)->body);
    free(*self);
    *self = NULL;
}

/* Takes `pending` out of the table and calls its reply. */
static void finish(link_t *self, pending_t *pending, const status_t *st, const void *answer)
{
    link_reply_t *reply = pending->reply;
    void *arg = pending->arg;
    zhashx_delete(self->pending, &pending->id);
    if (reply)
        reply(arg, st, answer);
}

static void send_copy(link_t *self, pending_t *pending)
{
    zmq_msg_t header, body;
    zmq_msg_init(&header);
    zmq_msg_init(&body);
    zmq_msg_copy(&header, &pending->header);
    zmq_msg_copy(&body, &pending->body);
    if (frame_move(self->socket, &header, true) || frame_move(self->socket, &body, false))
        log_debug("link: %s", zmq_strerror(errno));
    zmq_msg_close(&header);
    zmq_msg_close(&body);
}

static int on_tick(zloop_t *loop, int timer, void *arg)
{
    link_t *self = arg;
    (void)timer;
    int64_t now = util_now_ms();
    /* A reply may ask or forget anything, so the table is walked from its start after each. */
    pending_t *pending = zhashx_first(self->pending);
    while (pending) {
        bool late = pending->deadline && now > pending->deadline + DEADLINE_GRACE_MS;
        if (pending->refused.code || late) {
            status_t st = pending->refused;
            if (!st.code)
                status_set(&st, STATUS_DEADLINE_EXCEEDED, "%s: no answer before the deadline",
                           msg_type(pending->method)->name);
            finish(self, pending, &st, NULL);
            pending = zhashx_first(self->pending);
        } else {
            pending = zhashx_next(self->pending);
        }
    }
    if (zhashx_size(self->pending) == 0) {
        zloop_timer_end(loop, self->timer);
        self->timer = -1;
    }
    return 0;
}

static void handle_answer(link_t *self, pending_t *pending, const msg_header_t *header,
                          zmq_msg_t *body)
{
    status_t st = {.code = STATUS_OK};
    if (header->status) {
        status_set(&st, (status_code_t)header->status, "%s",
                   header->message ? header->message : "");
        finish(self, pending, &st, NULL);
        return;
    }
    msg_id_t answer_id = msg_type(pending->method)->answer;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    void *answer = zmalloc(msg_type(answer_id)->size);
    if (msg_decode(answer_id, zmq_msg_data(body), zmq_msg_size(body), zone, answer, &st))
        finish(self, pending, &st, NULL);
    else
        finish(self, pending, &st, answer);
    free(answer);
    msgpack_zone_free(zone);
}

static void handle_message(link_t *self, frame_set_t *set, msgpack_zone *zone)
{
    msg_header_t header;
    status_t st;
    if (set->count != 2) {
        log_warn("link: message of %zu frames dropped, 2 expected", set->count);
        return;
    }
    if (msg_decode(MSG_header, zmq_msg_data(&set->frames[0]), zmq_msg_size(&set->frames[0]), zone,
                   &header, &st)) {
        log_warn("link: message dropped: %s", st.text);
        return;
    }
    if (header.method) {
        if (self->on_request) {
            zmq_msg_t body;
            zmq_msg_init(&body);
            zmq_msg_move(&body, &set->frames[1]);
            self->on_request(self->arg, &header, &body);
        }
        return;
    }
    pending_t *pending = zhashx_lookup(self->pending, &header.id);
    if (pending)
        handle_answer(self, pending, &header, &set->frames[1]);
}

static int on_readable(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    link_t *self = arg;
    (void)loop;
    (void)item;
    for (int i = 0; i < DRAIN_MAX; i++) {
        frame_set_t set;
        if (!frame_receive(self->socket, &set))
            break;
        msgpack_zone zone;
        msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
        handle_message(self, &set, &zone);
        msgpack_zone_destroy(&zone);
        frame_set_close(&set);
    }
    return 0;
}

static void on_connected(link_t *self)
{
    if (self->on_connect)
        self->on_connect(self->arg);
    if (self->was_connected)
        for (pending_t *p = zhashx_first(self->pending); p; p = zhashx_next(self->pending))
            if (!p->refused.code)
                send_copy(self, p);
    self->was_connected = true;
}

static int on_monitor(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    link_t *self = arg;
    (void)loop;
    (void)item;
    frame_set_t set;
    while (frame_receive(zsock_resolve(self->monitor), &set)) {
        uint16_t event = 0;
        if (zmq_msg_size(&set.frames[0]) >= sizeof event)
            memcpy(&event, zmq_msg_data(&set.frames[0]), sizeof event);
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            on_connected(self);
        frame_set_close(&set);
    }
    return 0;
}

static status_code_t open_sockets(link_t *self, const char *endpoint, status_t *st)
{
    self->dealer = zsock_new(ZMQ_DEALER);
    if (!self->dealer)
        return status_errno(st, errno, "make a socket");
    self->socket = zsock_resolve(self->dealer);
    zsock_set_linger(self->dealer, LINGER_MS);
    zsock_set_sndhwm(self->dealer, HIGH_WATER);
    zsock_set_rcvhwm(self->dealer, HIGH_WATER);
    zsock_set_reconnect_ivl(self->dealer, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(self->dealer, RECONNECT_MAX_MS);

    AUTO_FREE char *watch = util_format("inproc://link-%p", (void *)self);
    if (zmq_socket_monitor(self->socket, watch, ZMQ_EVENT_HANDSHAKE_SUCCEEDED))
        return status_errno(st, errno, "watch a socket");
    self->monitor = zsock_new(ZMQ_PAIR);
    if (!self->monitor || zsock_connect(self->monitor, "%s", watch))
        return status_errno(st, errno, "watch a socket");
    if (zsock_connect(self->dealer, "%s", endpoint))
        return status_errno(st, errno, "connect to %s", endpoint);
    return STATUS_OK;
}

link_t *link_new(zloop_t *loop, const char *endpoint, status_t *st)
{
    link_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->timer = -1;
    self->pending = uuid_table_new();
    zhashx_set_destructor(self->pending, (zhashx_destructor_fn *)pending_destroy);
    if (open_sockets(self, endpoint, st)) {
        link_destroy(&self);
        return NULL;
    }
    zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
    zloop_poller(loop, &item, on_readable, self);
    zmq_pollitem_t watch = {.socket = zsock_resolve(self->monitor), .events = ZMQ_POLLIN};
    zloop_poller(loop, &watch, on_monitor, self);
    return self;
}

void link_destroy(link_t **self_p)
{
    link_t *self = *self_p;
    if (!self)
        return;
    if (self->timer >= 0)
        zloop_timer_end(self->loop, self->timer);
    if (self->dealer) {
        zmq_pollitem_t item = {.socket = self->socket};
        zloop_poller_end(self->loop, &item);
        zmq_socket_monitor(self->socket, NULL, 0);
    }
    if (self->monitor) {
        zmq_pollitem_t watch = {.socket = zsock_resolve(self->monitor)};
        zloop_poller_end(self->loop, &watch);
    }
    zsock_destroy(&self->monitor);
    zsock_destroy(&self->dealer);
    zhashx_destroy(&self->pending);
    free(self);
    *self_p = NULL;
}

void link_serve(link_t *self, link_request_t *on_request, link_connect_t *on_connect, void *arg)
{
    self->on_request = on_request;
    self->on_connect = on_connect;
    self->arg = arg;
}

static int64_t deadline_of(msg_id_t method, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return 0;
    if (timeout_ms > TIMEOUT_MAX_MS)
        timeout_ms = TIMEOUT_MAX_MS;
    if (timeout_ms == 0)
        timeout_ms = (int64_t)msg_type(method)->seconds * 1000;
    return timeout_ms ? util_now_ms() + timeout_ms : 0;
}

static void fill_pending(pending_t *pending, const void *ask, const char *ns)
{
    msg_header_t header = {.v = 1,
                           .id = pending->id,
                           .method = msg_type(pending->method)->name,
                           .ns = ns,
                           .deadline = pending->deadline};
    frame_encode(&pending->header, MSG_header, &header);
    frame_encode(&pending->body, pending->method, ask);
}

msg_uuid_t link_ask(link_t *self, msg_id_t method, const void *ask, const char *ns,
                    int64_t timeout_ms, const msg_uuid_t *id, link_reply_t *reply, void *arg)
{
    pending_t *pending = zmalloc(sizeof *pending);
    if (id)
        pending->id = *id;
    else
        msg_uuid_new(&pending->id);
    pending->method = method;
    pending->deadline = deadline_of(method, timeout_ms);
    pending->reply = reply;
    pending->arg = arg;
    fill_pending(pending, ask, ns);

    if (zhashx_size(self->pending) >= LINK_PENDING_MAX)
        status_set(&pending->refused, STATUS_RESOURCE_EXHAUSTED,
                   "%s: %d requests wait for their answers", msg_type(method)->name,
                   LINK_PENDING_MAX);
    else if (zmq_msg_size(&pending->body) > MSG_BODY_MAX)
        status_set(&pending->refused, STATUS_INVALID_ARGUMENT,
                   "%s: body is %zu bytes long, limit %u", msg_type(method)->name,
                   zmq_msg_size(&pending->body), MSG_BODY_MAX);

    msg_uuid_t used = pending->id;
    int inserted = zhashx_insert(self->pending, &pending->id, pending);
    assert(inserted == 0); /* an id is asked once at a time */
    if (!pending->refused.code)
        send_copy(self, pending);
    if (self->timer < 0)
        self->timer = zloop_timer(self->loop, DEADLINE_TICK_MS, 0, on_tick, self);
    return used;
}

void link_forget(link_t *self, const msg_uuid_t *id)
{
    zhashx_delete(self->pending, id);
}

/* Moves both frames out. A socket that cannot take them loses them: whoever waits asks again. */
static void send_frames(link_t *self, zmq_msg_t *header, zmq_msg_t *body)
{
    if (frame_move(self->socket, header, true) || frame_move(self->socket, body, false))
        log_debug("link: message dropped: %s", zmq_strerror(errno));
    zmq_msg_close(header);
    zmq_msg_close(body);
}

void link_answer(link_t *self, const msg_uuid_t *id, const status_t *st, zmq_msg_t *body)
{
    msg_reply_t reply = {
        .v = 1, .id = *id, .status = (uint32_t)st->code, .message = st->code ? st->text : ""};
    zmq_msg_t header;
    frame_encode(&header, MSG_reply, &reply);
    send_frames(self, &header, body);
}

void link_notify(link_t *self, msg_id_t notice, const void *value)
{
    msg_header_t header = {.v = 1, .method = msg_type(notice)->name};
    msg_uuid_new(&header.id);
    zmq_msg_t head, body;
    frame_encode(&head, MSG_header, &header);
    frame_encode(&body, notice, value);
    send_frames(self, &head, &body);
}

/* link_call -------------------------------------------------------------------------------------
 */

typedef struct call {
    bool done;
    status_t *st;
    msg_id_t answer_id;
    msgpack_zone *zone;
    void *answer;
} call_t;

/* The answer dies with its callback, so it goes through the encoding once more into the caller's
 * zone. */
static void keep_answer(void *arg, const status_t *st, const void *answer)
{
    call_t *call = arg;
    call->done = true;
    *call->st = *st;
    if (st->code || !call->answer)
        return;
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msg_encode(call->answer_id, answer, &buffer);
    msg_decode(call->answer_id, buffer.data, buffer.size, call->zone, call->answer, call->st);
    msgpack_sbuffer_destroy(&buffer);
}

status_code_t link_call(link_t *self, msg_id_t method, const void *ask, const char *ns,
                        int64_t timeout_ms, msgpack_zone *zone, void *answer, status_t *st)
{
    call_t call = {.st = st, .answer_id = msg_type(method)->answer, .zone = zone, .answer = answer};
    msg_uuid_t id = link_ask(self, method, ask, ns, timeout_ms, NULL, keep_answer, &call);
    while (!call.done && !zsys_interrupted) {
        zmq_pollitem_t items[] = {{.socket = self->socket, .events = ZMQ_POLLIN},
                                  {.socket = zsock_resolve(self->monitor), .events = ZMQ_POLLIN}};
        zmq_poll(items, 2, DEADLINE_TICK_MS);
        on_readable(self->loop, NULL, self);
        on_monitor(self->loop, NULL, self);
        if (!call.done && self->timer >= 0)
            on_tick(self->loop, self->timer, self);
    }
    if (!call.done) {
        link_forget(self, &id);
        return status_set(st, STATUS_CANCELLED, "%s: interrupted", msg_type(method)->name);
    }
    return st->code;
}
