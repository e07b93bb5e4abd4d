/* event.fetch. */
#include "workers/metadata/polls.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/subscribers.h"

typedef struct reader {
    polls_t *polls;
    char *space, *name;
    uint64_t delivered;
    request_t *request; /* that waits, or NULL; lends `ask` */
    const msg_event_fetch_t *ask;
    uint64_t after;  /* nothing up to here is wanted */
    io_timer_t over; /* set while it waits */
} reader_t;

struct polls {
    io_set_t *io;
    store_t *store;
    batch_t *batch;
    zhashx_t *readers; /* "SPACE/NAME" -> reader_t, which it owns */
    uint64_t earlier;  /* the journal's end when this process began */
    size_t waiting;
    io_timer_t look, expire;
    int64_t looked_at; /* util_monotonic_us */
    int64_t idle_ns;
};

/* Readers ---------------------------------------------------------------------------------------
 */

static void stop_waiting(reader_t *self)
{
    io_timer_stop(self->polls->io, &self->over);
    self->polls->waiting--;
    self->request = NULL;
}

static void reader_destroy(reader_t **self_p)
{
    reader_t *self = *self_p;
    if (self->request)
        stop_waiting(self);
    free(self->space);
    free(self->name);
    free(self);
    *self_p = NULL;
}

static reader_t *find(const polls_t *self, const char *space, const char *name)
{
    AUTO_FREE char *key = util_format("%s/%s", space, name);
    return zhashx_lookup(self->readers, key);
}

static void on_over(void *arg);

static reader_t *add(polls_t *self, const char *space, const char *name, uint64_t delivered)
{
    AUTO_FREE char *key = util_format("%s/%s", space, name);
    reader_t *reader = zmalloc(sizeof *reader);
    *reader = (reader_t){.polls = self,
                         .space = util_strdup(space),
                         .name = util_strdup(name),
                         .delivered = delivered};
    io_timer_init(&reader->over, on_over, reader);
    zhashx_update(self->readers, key, reader);
    return reader;
}

static void refuse_waiting(reader_t *self, const status_t *st)
{
    request_t *request = self->request;
    stop_waiting(self);
    request_fail(request, st);
}

/* Pages -----------------------------------------------------------------------------------------
 */

typedef struct touch {
    char *space, *name;
    int64_t now;
} touch_t;

static void run_touch(void *arg, txn_t *txn)
{
    touch_t *self = arg;
    subscribers_touch(txn, self->space, self->name, self->now);
}

static void on_touched(void *arg, const status_t *st)
{
    touch_t *self = arg;
    if (st->code)
        log_warn("subscriber %s: not noted as used: %s", self->name, st->text);
    free(self->space);
    free(self->name);
    free(self);
}

static void touch(polls_t *self, const reader_t *reader)
{
    touch_t *touch = zmalloc(sizeof *touch);
    *touch = (touch_t){.space = util_strdup(reader->space),
                       .name = util_strdup(reader->name),
                       .now = util_now_ns()};
    batch_add(self->batch, run_touch, on_touched, touch);
}

static status_code_t read_page(polls_t *self, const reader_t *reader, uint64_t after,
                               const msg_event_fetch_t *ask, msgpack_zone *zone,
                               msg_subscriber_t *record, msg_event_page_t *page, status_t *st)
{
    AUTO(txn)
    txn = txn_read(self->store, st);
    if (!txn)
        return st->code;
    status_clear(st);
    if (subscribers_get(txn, reader->space, reader->name, zone, record, st))
        subscribers_page(txn, record, after, ask->limit, zone, page, st);
    if (txn_error(txn))
        txn_status(txn, st);
    return st->code;
}

/* An answer must be worth being asked for again: events, a gap, or that much was looked through. */
static bool is_worth_telling(const msg_event_page_t *page)
{
    bool is_empty = page->events.size == 1; /* msgpack's empty array */
    return !is_empty || page->gap || page->next <= page->last;
}

/* Answers the request, or says that there is nothing to tell yet. What it looks at lies in a zone
 * of its own: a request may be tried very often before it is answered. */
static bool try(reader_t *self, request_t *request, const msg_event_fetch_t *ask, uint64_t *after,
                bool is_last)
{
    polls_t *polls = self->polls;
    status_t st;
    msg_subscriber_t record;
    msg_event_page_t page;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone)
        abort();
    bool answered = true;
    if (read_page(polls, self, *after, ask, zone, &record, &page, &st)) {
        request_fail(request, &st);
    } else if (is_last || is_worth_telling(&page)) {
        self->delivered = page.next - 1 > self->delivered ? page.next - 1 : self->delivered;
        request_answer(request, &page);
    } else {
        *after = page.next - 1;
        answered = false;
    }
    bool is_old = !st.code && util_now_ns() - record.used_at > SUBSCRIBERS_TOUCH_NS;
    msgpack_zone_free(zone);
    if (is_old)
        touch(polls, self);
    return answered;
}

/* Waiting ---------------------------------------------------------------------------------------
 */

static void try_waiting(reader_t *self, bool is_last)
{
    if (try(self, self->request, self->ask, &self->after, is_last))
        stop_waiting(self);
}

static void on_over(void *arg)
{
    try_waiting(arg, true);
}

static void on_look(void *arg)
{
    polls_t *self = arg;
    self->looked_at = util_monotonic_us();
    for (reader_t *reader = zhashx_first(self->readers); reader;
         reader = zhashx_next(self->readers))
        if (reader->request)
            try_waiting(reader, false);
}

void polls_on_events(polls_t *self)
{
    if (self->waiting)
        io_timer_advance(self->io, &self->look, self->looked_at + POLLS_LOOK_MS * 1000);
}

static int64_t waiting_time(const request_t *request, const msg_event_fetch_t *ask)
{
    int64_t wait = ask->wait_ms;
    int64_t deadline = request_deadline(request);
    if (deadline && deadline - util_now_ms() - POLLS_MARGIN_MS < wait)
        wait = deadline - util_now_ms() - POLLS_MARGIN_MS;
    return wait;
}

static void take_over(reader_t *self)
{
    status_t st;
    if (!self->request)
        return;
    status_set(&st, STATUS_ABORTED, "subscriber %s: is read by another client", self->name);
    refuse_waiting(self, &st);
}

static void wait_or_answer(polls_t *self, reader_t *reader, request_t *request,
                           const msg_event_fetch_t *ask)
{
    uint64_t after = ask->after;
    int64_t wait = waiting_time(request, ask);
    take_over(reader);
    if (try(reader, request, ask, &after, wait <= 0))
        return;
    reader->request = request;
    reader->ask = ask;
    reader->after = after;
    self->waiting++;
    io_timer_in(self->io, &reader->over, wait);
}

/* Whether there is such a subscriber: readers are kept for those only. */
static bool is_there(polls_t *self, const char *space, const char *name, status_t *st)
{
    msg_subscriber_t record;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone)
        abort();
    AUTO(txn)
    txn = txn_read(self->store, st);
    bool found = txn && subscribers_get(txn, space, name, zone, &record, st);
    if (txn && txn_error(txn))
        txn_status(txn, st);
    msgpack_zone_free(zone);
    return found;
}

void polls_fetch(polls_t *self, request_t *request, const char *ns, const msg_event_fetch_t *ask)
{
    status_t st;
    const char *space = subscribers_space(ns, ask->all, "event.fetch", &st);
    if (!space) {
        request_fail(request, &st);
        return;
    }
    uint64_t delivered = polls_delivered(self, space, ask->name);
    reader_t *reader = find(self, space, ask->name);
    if (!reader && is_there(self, space, ask->name, &st))
        reader = add(self, space, ask->name, delivered);
    else if (reader)
        status_clear(&st);
    if (reader && ask->after > delivered)
        status_set(&st, STATUS_INVALID_ARGUMENT,
                   "event.fetch: after is %" PRIu64 ", subscriber %s was given up to %" PRIu64,
                   ask->after, ask->name, delivered);
    if (!reader || ask->after > delivered)
        request_fail(request, &st);
    else
        wait_or_answer(self, reader, request, ask);
}

uint64_t polls_delivered(const polls_t *self, const char *space, const char *name)
{
    const reader_t *reader = find(self, space, name);
    return reader ? reader->delivered : self->earlier;
}

size_t polls_waiting(const polls_t *self)
{
    return self->waiting;
}

/* Coming and going ------------------------------------------------------------------------------
 */

void polls_on_begin(polls_t *self, const msg_subscriber_t *subscriber)
{
    const char *space = subscriber->ns ? subscriber->ns : "";
    polls_on_end(self, space, subscriber->name);
    add(self, space, subscriber->name, subscriber->acked);
}

void polls_on_end(polls_t *self, const char *space, const char *name)
{
    AUTO_FREE char *key = util_format("%s/%s", space, name);
    reader_t *reader = zhashx_lookup(self->readers, key);
    status_t st;
    if (reader && reader->request) {
        status_set(&st, STATUS_NOT_FOUND, "subscriber %s: was forgotten", name);
        refuse_waiting(reader, &st);
    }
    zhashx_delete(self->readers, key);
}

/* The first reader whose subscriber has gone. */
static reader_t *find_gone(polls_t *self)
{
    status_t st;
    reader_t *reader = zhashx_first(self->readers);
    while (reader &&
           (is_there(self, reader->space, reader->name, &st) || st.code != STATUS_NOT_FOUND))
        reader = zhashx_next(self->readers);
    return reader;
}

static void run_expire(void *arg, txn_t *txn)
{
    polls_t *self = arg;
    subscribers_expire(txn, util_now_ns() - self->idle_ns);
}

static void on_expired(void *arg, const status_t *st)
{
    polls_t *self = arg;
    reader_t *reader;
    if (st->code)
        log_warn("abandoned subscribers: %s", st->text);
    while (!st->code && (reader = find_gone(self))) {
        AUTO_FREE char *space = util_strdup(reader->space);
        AUTO_FREE char *name = util_strdup(reader->name);
        polls_on_end(self, space, name);
    }
}

static void on_expire(void *arg)
{
    polls_t *self = arg;
    batch_add(self->batch, run_expire, on_expired, self);
    io_timer_in(self->io, &self->expire, POLLS_EXPIRE_MS);
}

polls_t *polls_new(io_set_t *io, store_t *store, batch_t *batch, int64_t idle_ns, status_t *st)
{
    AUTO(txn)
    txn = txn_read(store, st);
    if (!txn)
        return NULL;
    polls_t *self = zmalloc(sizeof *self);
    *self = (polls_t){.io = io, .store = store, .batch = batch, .idle_ns = idle_ns};
    self->earlier = journal_last(txn, TABLE_JOURNAL);
    self->readers = zhashx_new();
    zhashx_set_destructor(self->readers, (zhashx_destructor_fn *)reader_destroy);
    io_timer_init(&self->look, on_look, self);
    io_timer_init(&self->expire, on_expire, self);
    if (idle_ns)
        io_timer_in(io, &self->expire, 0);
    if (txn_status(txn, st))
        polls_destroy(&self);
    return self;
}

void polls_destroy(polls_t **self_p)
{
    polls_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->look);
    io_timer_stop(self->io, &self->expire);
    zhashx_destroy(&self->readers);
    free(self);
    *self_p = NULL;
}
