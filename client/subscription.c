/* Events for a named subscriber. */
#include "client/subscription.h"

#include "common/util.h"

/* So many events are acknowledged together, and come again when this process dies among them. */
#define PAGE_LIMIT 100

#define WAIT_MS  25000 /* for an event to come, before asking again */
#define AGAIN_MS 500   /* between two tries when the cluster does not answer */

typedef struct subscription {
    session_t *session;
    link_t *link;
    const subscription_options_t *options;
    event_stream_handler_t *handler;
    event_stream_gap_t *gap;
    void *arg;
    uint64_t told;  /* the newest that `gap` was told of */
    uint64_t after; /* everything up to here was handled */
    uint64_t until; /* where until_now ends */
} subscription_t;

/* A follower outlasts a cluster that is away, and is not limited by --timeout; who wants an end
 * hears of it. */
static bool may_go_on(const subscription_t *self, const status_t *st)
{
    return !self->options->until_now &&
           (st->code == STATUS_UNAVAILABLE || st->code == STATUS_DEADLINE_EXCEEDED);
}

static status_code_t ask(subscription_t *self, msg_id_t method, const void *body,
                         msgpack_zone *zone, void *answer, status_t *st)
{
    int64_t limit = self->options->until_now ? session_timeout_ms(self->session) : 0;
    while (
        link_call(self->link, method, body, session_ns(self->session), limit, zone, answer, st) &&
        may_go_on(self, st) && !zsys_interrupted)
        zclock_sleep(AGAIN_MS);
    return st->code;
}

static void hand_over(subscription_t *self, const msg_bytes_t *events)
{
    msgpack_unpacked page;
    msgpack_unpacked_init(&page);
    if (msgpack_unpack_next(&page, (const char *)events->data, events->size, NULL) ==
            MSGPACK_UNPACK_SUCCESS &&
        page.data.type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < page.data.via.array.size; i++)
            self->handler(self->arg, &page.data.via.array.ptr[i]);
    msgpack_unpacked_destroy(&page);
}

static status_code_t acknowledge(subscription_t *self, uint64_t seq, msgpack_zone *zone,
                                 status_t *st)
{
    const msg_event_subscribe_t *begin = &self->options->begin;
    const msg_event_ack_t body = {.name = begin->name, .all = begin->all, .seq = seq};
    return ask(self, MSG_event_ack, &body, zone, NULL, st);
}

static status_code_t read_page(subscription_t *self, msgpack_zone *zone, status_t *st)
{
    const msg_event_subscribe_t *begin = &self->options->begin;
    const msg_event_fetch_t body = {.name = begin->name,
                                    .all = begin->all,
                                    .after = self->options->no_ack ? self->after : 0,
                                    .limit = PAGE_LIMIT,
                                    .wait_ms = self->options->until_now ? 0 : WAIT_MS};
    msg_event_page_t page;
    if (ask(self, MSG_event_fetch, &body, zone, &page, st))
        return st->code;
    event_stream_tell_gap(&page, self->after + 1, !begin->all, &self->told, self->gap, self->arg);
    hand_over(self, &page.events);
    uint64_t seq = page.next - 1;
    if (seq > self->after && !self->options->no_ack && acknowledge(self, seq, zone, st))
        return st->code;
    self->after = seq;
    return STATUS_OK;
}

static status_code_t begin(subscription_t *self, msgpack_zone *zone, status_t *st)
{
    msg_subscriber_t found;
    if (ask(self, MSG_event_subscribe, &self->options->begin, zone, &found, st))
        return st->code;
    self->after = found.acked;
    if (self->options->until_now)
        self->until = found.last;
    return STATUS_OK;
}

status_code_t subscription_run(session_t *session, const subscription_options_t *options,
                               event_stream_handler_t *handler, event_stream_gap_t *gap, void *arg,
                               status_t *st)
{
    subscription_t self = {
        .session = session, .options = options, .handler = handler, .gap = gap, .arg = arg};
    self.link = session_link(session, st);
    if (!self.link || begin(&self, session_zone(session), st))
        return st->code;
    while (!options->until_now || self.after < self.until) {
        msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
        if (!zone)
            abort();
        status_code_t code = read_page(&self, zone, st);
        msgpack_zone_free(zone);
        if (code)
            return code;
    }
    return STATUS_OK;
}
