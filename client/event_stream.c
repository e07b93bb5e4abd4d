/* Every event once and in the journal's order. */
#include "client/event_stream.h"

#include "client/event_line.h"
#include "common/filter.h"
#include "common/frame.h"
#include "common/util.h"

#include <errno.h>

#define PAGE_LIMIT 1000      /* events asked for at a time */
#define FUTURE     INT64_MAX /* behind every sequence number */
#define HIGH_WATER 10000 /* events waiting here; what comes on top is fetched from the journal */
#define LOOK_MS    500   /* how often the clock is looked at for an end that is a time */
#define SILENCE_MS 3000  /* without even a .sync, of which one is due each second */

/* Events come into the journal so long after they happened at most: JOURNAL_LATE_NS. */
#define LATE_NS ((int64_t)600 * 1000000000)

struct event_stream {
    session_t *session;
    event_stream_options_t options;
    filter_t *filter; /* NULL for none */
    zsock_t *sub;
    uint64_t next;  /* the sequence number to come */
    uint64_t until; /* the last one; 0 while there is no end */
    uint64_t told;  /* the newest that `gap` was told of */
    int64_t heard;  /* when the subscription brought something, or the journal was asked instead */
    bool is_past;   /* what comes now is too new for an end that is a time */
    event_stream_handler_t *handler;
    event_stream_gap_t *gap;
    void *arg;
};

event_stream_t *event_stream_new(session_t *session, const event_stream_options_t *options,
                                 status_t *st)
{
    filter_t *filter;
    if (filter_parse(&options->filters, &filter, st))
        return NULL;
    if (!session_link(session, st)) {
        filter_destroy(&filter);
        return NULL;
    }
    event_stream_t *self = zmalloc(sizeof *self);
    self->session = session;
    self->options = *options;
    self->filter = filter;
    AUTO_FREE char *endpoint = cluster_endpoint(session_cluster(session), CLUSTER_EVENTS);
    self->sub = zsock_new(ZMQ_SUB);
    if (self->sub) {
        zsock_set_rcvhwm(self->sub, HIGH_WATER);
        zsock_set_linger(self->sub, 0);
        zsock_set_subscribe(self->sub, "");
    }
    if (!self->sub || zsock_connect(self->sub, "%s", endpoint)) {
        status_errno(st, errno, "subscribe to %s", endpoint);
        event_stream_destroy(&self);
    }
    return self;
}

void event_stream_destroy(event_stream_t **self_p)
{
    event_stream_t *self = *self_p;
    if (!self)
        return;
    zsock_destroy(&self->sub);
    filter_destroy(&self->filter);
    free(self);
    *self_p = NULL;
}

static bool is_at_end(const event_stream_t *self)
{
    return self->is_past || (self->until && self->next > self->until);
}

static bool is_in_time(event_stream_t *self, int64_t time)
{
    const event_where_t *since = &self->options.since, *until = &self->options.until;
    if (since->kind == EVENT_WHERE_TIME && time < since->time)
        return false;
    if (until->kind != EVENT_WHERE_TIME || time <= until->time)
        return true;
    self->is_past = self->is_past || time - LATE_NS > until->time;
    return false;
}

/* Pages of the journal are filtered before they are sent; the subscription brings everything. */
static status_code_t hand_over(event_stream_t *self, const msgpack_object *event, status_t *st)
{
    event_line_t line;
    if (!event_line_read(event, &line))
        return STATUS_OK;
    const char *ns = self->options.ns;
    if (ns && (line.ns->size != strlen(ns) || memcmp(line.ns->ptr, ns, line.ns->size)))
        return STATUS_OK;
    if (!is_in_time(self, line.time))
        return STATUS_OK;
    filter_rewind(self->filter);
    if (filter_match_event(self->filter, event))
        self->handler(self->arg, event);
    return filter_status(self->filter, st);
}

static bool reads_past(const event_stream_t *self)
{
    event_where_kind_t kind = self->options.since.kind;
    return kind == EVENT_WHERE_SEQ || kind == EVENT_WHERE_TIME;
}

/* The journal -----------------------------------------------------------------------------------
 */

static status_code_t hand_over_page(event_stream_t *self, const msg_bytes_t *events, status_t *st)
{
    status_code_t code = STATUS_OK;
    msgpack_unpacked page;
    msgpack_unpacked_init(&page);
    const char *data = (const char *)events->data;
    if (msgpack_unpack_next(&page, data, events->size, NULL) == MSGPACK_UNPACK_SUCCESS &&
        page.data.type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < page.data.via.array.size && !code; i++)
            code = hand_over(self, &page.data.via.array.ptr[i], st);
    msgpack_unpacked_destroy(&page);
    return code;
}

void event_stream_tell_gap(const msg_event_page_t *page, uint64_t since, bool is_of_one,
                           uint64_t *told, event_stream_gap_t *gap, void *arg)
{
    uint64_t last = page->gone >= since ? page->gone : page->first - 1;
    if (!page->gap || last <= *told)
        return;
    /* Where namespaces have limits of their own, others' events may be left in between. */
    bool is_whole = since && (is_of_one || page->first > last);
    gap(arg, is_whole ? since : 0, last);
    *told = last;
}

/* The last event of a journal that ends with `last` which a reader up to `until` can get now. */
static uint64_t end_of(uint64_t until, uint64_t last)
{
    return until && until < last ? until : last;
}

/* One page from `next` to `until` (0: to the end). `last` is the newest there is. */
static status_code_t read_page(event_stream_t *self, uint64_t until, uint64_t *last, status_t *st)
{
    msg_event_page_t page;
    const event_where_t *since = &self->options.since;
    const msg_event_list_t ask = {.since = self->next,
                                  .since_time = since->kind == EVENT_WHERE_TIME ? since->time : 0,
                                  .until = until,
                                  .limit = PAGE_LIMIT,
                                  .all = !self->options.ns,
                                  .filters = self->options.filters,
                                  .raw = self->options.raw};
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    link_t *link = session_link(self->session, st);
    if (link && !link_call(link, MSG_event_list, &ask, session_ns(self->session),
                           session_timeout_ms(self->session), zone, &page, st)) {
        event_stream_tell_gap(&page, self->next, self->options.ns, &self->told, self->gap,
                              self->arg);
        hand_over_page(self, &page.events, st);
        *last = page.last;
        /* An answer that leads nowhere must not be asked for again for ever. */
        if (page.next > self->next)
            self->next = page.next;
        else if (self->next <= end_of(until, page.last))
            self->next = end_of(until, page.last) + 1;
    }
    msgpack_zone_free(zone);
    return link ? st->code : STATUS_UNAVAILABLE;
}

/* Reads from `next` to `until`, or to the journal's end where that is 0. */
static status_code_t catch_up(event_stream_t *self, uint64_t until, status_t *st)
{
    uint64_t last = 0;
    do {
        if (read_page(self, until, &last, st))
            return st->code;
    } while (!self->is_past && self->next <= end_of(until, last));
    return STATUS_OK;
}

/* Whether an end that is a time has come; then it is the newest event there is now. */
static bool has_time_come(const event_stream_t *self)
{
    const event_where_t *until = &self->options.until;
    return until->kind == EVENT_WHERE_TIME && until->time < util_now_ns();
}

static status_code_t find_last(event_stream_t *self, uint64_t *ret, status_t *st)
{
    msg_event_page_t page;
    const msg_event_list_t ask = {
        .since = FUTURE, .limit = 1, .all = true, .raw = self->options.raw};
    if (session_call(self->session, MSG_event_list, &ask, &page, st))
        return st->code;
    *ret = page.last;
    return STATUS_OK;
}

/* Where to begin, and where "now" is. */
static status_code_t find_bounds(event_stream_t *self, status_t *st)
{
    const event_where_t *since = &self->options.since, *until = &self->options.until;
    uint64_t last = 0;
    if (find_last(self, &last, st))
        return st->code;
    self->next = reads_past(self) ? since->seq : last + 1;
    if (until->kind == EVENT_WHERE_SEQ)
        self->until = until->seq;
    return STATUS_OK;
}

/* The subscription ------------------------------------------------------------------------------
 */

/* The number in ".sync", or 0. */
static uint64_t sync_seq(const msgpack_object *object)
{
    if (object->type != MSGPACK_OBJECT_MAP)
        return 0;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *entry = &object->via.map.ptr[i];
        if (entry->key.type == MSGPACK_OBJECT_STR && entry->key.via.str.size == 3 &&
            !memcmp(entry->key.via.str.ptr, "seq", 3) &&
            entry->val.type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            return entry->val.via.u64;
    }
    return 0;
}

/* A follower outlasts a journal that does not answer, and looks again later; who wants an end hears
 * of it. */
static status_code_t catch_up_later(event_stream_t *self, uint64_t until, status_t *st)
{
    catch_up(self, until, st);
    bool is_away = st->code == STATUS_UNAVAILABLE || st->code == STATUS_DEADLINE_EXCEEDED;
    if (is_away && self->options.until.kind == EVENT_WHERE_NONE)
        status_clear(st);
    return st->code;
}

/* What was missed comes first; what the journal told already is passed by. */
static status_code_t take(event_stream_t *self, bool is_sync, const msgpack_object *object,
                          status_t *st)
{
    event_line_t line;
    uint64_t seq = is_sync ? sync_seq(object) : event_line_read(object, &line) ? line.seq : 0;
    uint64_t missed = is_sync ? seq : seq ? seq - 1 : 0;
    if (missed >= self->next && catch_up_later(self, missed, st))
        return st->code;
    if (is_sync || missed >= self->next || seq < self->next || is_at_end(self))
        return STATUS_OK;
    self->next = seq + 1;
    return hand_over(self, object, st);
}

/* A subscription may be broken without anybody being told: the journal knows. */
static status_code_t look_when_silent(event_stream_t *self, status_t *st)
{
    if (zclock_mono() - self->heard < SILENCE_MS)
        return STATUS_OK;
    catch_up_later(self, self->until, st);
    self->heard = zclock_mono();
    return st->code;
}

static status_code_t receive_one(event_stream_t *self, status_t *st)
{
    frame_set_t set;
    status_t ignored;
    zmq_pollitem_t item = {.socket = zsock_resolve(self->sub), .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, self->options.until.kind == EVENT_WHERE_TIME ? LOOK_MS : SILENCE_MS);
    if (!frame_receive(item.socket, &set))
        return look_when_silent(self, st);
    self->heard = zclock_mono();
    zmq_msg_t *key = &set.frames[0], *body = &set.frames[1];
    st->code = STATUS_OK;
    if (set.count == 2 && !msg_scan(zmq_msg_data(body), zmq_msg_size(body), &ignored)) {
        bool is_sync = zmq_msg_size(key) == 5 && !memcmp(zmq_msg_data(key), ".sync", 5);
        msgpack_unpacked event;
        msgpack_unpacked_init(&event);
        if (msgpack_unpack_next(&event, zmq_msg_data(body), zmq_msg_size(body), NULL) ==
            MSGPACK_UNPACK_SUCCESS)
            take(self, is_sync, &event.data, st);
        msgpack_unpacked_destroy(&event);
    }
    frame_set_close(&set);
    return st->code;
}

/* Reads to the newest event there is now, or to an end before it. */
static status_code_t finish(event_stream_t *self, status_t *st)
{
    uint64_t last = 0;
    if (find_last(self, &last, st) || last < self->next)
        return st->code;
    return catch_up(self, end_of(self->until, last), st);
}

status_code_t event_stream_run(event_stream_t *self, event_stream_handler_t *handler,
                               event_stream_gap_t *gap, void *arg, status_t *st)
{
    self->handler = handler;
    self->gap = gap;
    self->arg = arg;
    if (find_bounds(self, st))
        return st->code;
    if (self->options.until.kind == EVENT_WHERE_NOW || has_time_come(self))
        return finish(self, st);
    if (reads_past(self) && catch_up(self, self->until, st))
        return st->code;
    self->heard = zclock_mono();
    while (!is_at_end(self) && !has_time_come(self))
        if (receive_one(self, st))
            return st->code;
    return has_time_come(self) ? finish(self, st) : STATUS_OK;
}
