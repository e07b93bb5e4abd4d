/* One DEALER connection to the broker. */
#include "common/link.h"

#include "common/frame.h"
#include "common/io_timer.h"
#include "common/io_zmq.h"
#include "common/log.h"
#include "common/util.h"
#include "common/uuid_table.h"

#include <errno.h>

#define RECONNECT_MS      10     /* first wait before connecting again */
#define RECONNECT_MAX_MS  200    /* it doubles up to this */
#define LINGER_MS         1000   /* for answers on the way out of a process that ends */
#define DEADLINE_LOOK_MS  1000   /* longest time between two looks at deadlines: clocks are set */
#define DEADLINE_GRACE_MS 500    /* the broker answers at the deadline; this is for a dead broker */
#define LEASE_MS          600000 /* one that waits for ever is sent again before this is over */
#define TIMEOUT_MAX_MS    ((int64_t)365 * 24 * 3600 * 1000) /* a longer one counts as this */
#define HIGH_WATER        0 /* no limit in the socket: LINK_PENDING_MAX and windows bound it */

typedef struct pending {
    msg_uuid_t id;
    msg_id_t method;
    int64_t deadline;       /* ms since the epoch, 0 for none; of a lease its end */
    bool is_leased;         /* it waits for ever, which a broker believes for LEASE_MS only */
    zmq_msg_t header, body; /* kept for sending again */
    status_t refused;       /* set when it is to be answered without having been sent */
    link_reply_t *reply;
    void *arg;
} pending_t;

struct link {
    io_set_t *io;
    zsock_t *dealer;
    void *socket; /* the raw one inside `dealer` */
    io_zmq_t messages;
    zsock_t *monitor;
    io_zmq_t monitored;
    zhashx_t *pending;   /* by id */
    io_timer_t deadline; /* set, perhaps too early, while something with a deadline is pending */
    msgpack_zone zone;   /* of the message that is handled */
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
    io_zmq_used(&self->messages);
    zmq_msg_close(&header);
    zmq_msg_close(&body);
}

/* When something has to be done about it; ms since the epoch. */
static int64_t due_of(const pending_t *pending)
{
    return pending->is_leased ? pending->deadline - LEASE_MS / 2
                              : pending->deadline + DEADLINE_GRACE_MS;
}

/* When deadlines have to be looked at because of this one. */
static int64_t look_at(const pending_t *pending)
{
    if (pending->refused.code)
        return 0;
    if (!pending->deadline)
        return INT64_MAX;
    int64_t left = due_of(pending) - util_now_ms();
    return util_monotonic_us() + (left < DEADLINE_LOOK_MS ? left : DEADLINE_LOOK_MS) * 1000;
}

/* The broker that died may have had it carried out. Whoever waits for ever does so from now on. */
static void send_again(link_t *self, pending_t *pending)
{
    msg_header_t header;
    status_t st;
    msgpack_zone zone;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    if (msg_decode(MSG_header, zmq_msg_data(&pending->header), zmq_msg_size(&pending->header),
                   &zone, &header, &st))
        abort(); /* it was encoded here */
    if (pending->is_leased)
        pending->deadline = util_now_ms() + LEASE_MS;
    header.deadline = pending->deadline;
    header.first = false;
    zmq_msg_close(&pending->header);
    frame_encode(&pending->header, MSG_header, &header);
    msgpack_zone_destroy(&zone);
    send_copy(self, pending);
}

static void on_deadline(void *arg)
{
    link_t *self = arg;
    int64_t now = util_now_ms();
    /* A reply may ask or forget anything, so the table is walked from its start after each. */
    pending_t *pending = zhashx_first(self->pending);
    while (pending) {
        bool is_due = pending->deadline && now >= due_of(pending);
        if (is_due && pending->is_leased && !pending->refused.code) {
            send_again(self, pending);
            pending = zhashx_next(self->pending);
        } else if (pending->refused.code || is_due) {
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
    for (pending = zhashx_first(self->pending); pending; pending = zhashx_next(self->pending))
        io_timer_advance(self->io, &self->deadline, look_at(pending));
}

static void handle_answer(link_t *self, pending_t *pending, const msg_header_t *header,
                          zmq_msg_t *body)
{
    status_t st = {.code = STATUS_OK};
    if (pending->is_leased && header->status == STATUS_DEADLINE_EXCEEDED) {
        send_again(self, pending); /* this process was stopped for longer than the lease */
        return;
    }
    if (header->status) {
        status_set(&st, (status_code_t)header->status, "%s",
                   header->message ? header->message : "");
        finish(self, pending, &st, NULL);
        return;
    }
    msg_id_t answer_id = msg_type(pending->method)->answer;
    void *answer = msgpack_zone_malloc(&self->zone, msg_type(answer_id)->size);
    if (!answer)
        abort();
    if (msg_decode(answer_id, zmq_msg_data(body), zmq_msg_size(body), &self->zone, answer, &st))
        answer = NULL;
    finish(self, pending, &st, answer);
}

static void handle_message(link_t *self, frame_set_t *set)
{
    msg_header_t header;
    status_t st;
    if (set->count != 2) {
        log_warn("link: message of %zu frames dropped, 2 expected", set->count);
        return;
    }
    if (msg_decode(MSG_header, zmq_msg_data(&set->frames[0]), zmq_msg_size(&set->frames[0]),
                   &self->zone, &header, &st)) {
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

static bool on_message(void *arg)
{
    link_t *self = arg;
    frame_set_t set;
    if (!frame_receive(self->socket, &set))
        return false;
    handle_message(self, &set);
    msgpack_zone_clear(&self->zone);
    frame_set_close(&set);
    return true;
}

static void on_connected(link_t *self)
{
    if (self->on_connect)
        self->on_connect(self->arg);
    if (self->was_connected)
        for (pending_t *p = zhashx_first(self->pending); p; p = zhashx_next(self->pending))
            if (!p->refused.code)
                send_again(self, p);
    self->was_connected = true;
}

static bool on_monitored(void *arg)
{
    link_t *self = arg;
    frame_set_t set;
    if (!frame_receive(zsock_resolve(self->monitor), &set))
        return false;
    uint16_t event = 0;
    if (zmq_msg_size(&set.frames[0]) >= sizeof event)
        memcpy(&event, zmq_msg_data(&set.frames[0]), sizeof event);
    frame_set_close(&set);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        on_connected(self);
    return true;
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

link_t *link_new(io_set_t *io, const char *endpoint, status_t *st)
{
    link_t *self = zmalloc(sizeof *self);
    self->io = io;
    io_timer_init(&self->deadline, on_deadline, self);
    msgpack_zone_init(&self->zone, MSGPACK_ZONE_CHUNK_SIZE);
    self->pending = uuid_table_new();
    zhashx_set_destructor(self->pending, (zhashx_destructor_fn *)pending_destroy);
    if (open_sockets(self, endpoint, st)) {
        link_destroy(&self);
        return NULL;
    }
    io_zmq_start(&self->messages, io, self->socket, on_message, self);
    io_zmq_start(&self->monitored, io, zsock_resolve(self->monitor), on_monitored, self);
    return self;
}

void link_destroy(link_t **self_p)
{
    link_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->deadline);
    io_zmq_stop(&self->monitored);
    io_zmq_stop(&self->messages);
    if (self->dealer)
        zmq_socket_monitor(self->socket, NULL, 0);
    zsock_destroy(&self->monitor);
    zsock_destroy(&self->dealer);
    zhashx_destroy(&self->pending);
    msgpack_zone_destroy(&self->zone);
    free(self);
    *self_p = NULL;
}

void link_serve(link_t *self, link_request_t *on_request, link_connect_t *on_connect, void *arg)
{
    self->on_request = on_request;
    self->on_connect = on_connect;
    self->arg = arg;
}

static int64_t deadline_of(msg_id_t method, int64_t timeout_ms, bool *is_leased)
{
    *is_leased = timeout_ms <= 0 && !msg_type(method)->seconds;
    if (*is_leased)
        return util_now_ms() + LEASE_MS;
    if (timeout_ms < 0)
        return 0;
    if (timeout_ms > TIMEOUT_MAX_MS)
        timeout_ms = TIMEOUT_MAX_MS;
    if (timeout_ms == 0)
        timeout_ms = (int64_t)msg_type(method)->seconds * 1000;
    return util_now_ms() + timeout_ms;
}

static void fill_pending(pending_t *pending, const void *ask, const char *ns, bool is_first)
{
    msg_header_t header = {.v = 1,
                           .id = pending->id,
                           .method = msg_type(pending->method)->name,
                           .ns = ns,
                           .deadline = pending->deadline,
                           .first = is_first};
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
    pending->deadline = deadline_of(method, timeout_ms, &pending->is_leased);
    pending->reply = reply;
    pending->arg = arg;
    fill_pending(pending, ask, ns, !id);

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
    io_timer_advance(self->io, &self->deadline, look_at(pending));
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
    io_zmq_used(&self->messages);
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

io_set_t *link_io(link_t *self)
{
    return self->io;
}
