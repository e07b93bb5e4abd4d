/* The events about each container. */
#include "workers/metadata/trail.h"

#include "workers/metadata/journal.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/task_fields.h"

#include <string.h>

#define PAGE_DEFAULT 1000 /* events */

/* Value: the key at which the next sweep goes on. No namespace begins with a dot. */
#define SWEEP ".sweep"

static bool number_of(const msg_bytes_t *value, uint64_t *ret)
{
    if (value->size != sizeof *ret)
        return false;
    memcpy(ret, value->data, sizeof *ret);
    return true;
}

/* Sweep ------------------------------------------------------------------------------------------
 */

static bool is_gone(txn_t *txn, const msg_bytes_t *value)
{
    uint64_t seq;
    msg_bytes_t event;
    return number_of(value, &seq) && !txn_get(txn, TABLE_JOURNAL, &seq, sizeof seq, &event);
}

/* The first number at `from` or behind it. */
static bool find_from(txn_t *txn, const store_key_t *from, store_key_t *ret, bool *ret_gone)
{
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_TRAILS, from->size ? from->bytes : NULL, from->size);
    if (any && scan.key.size == strlen(SWEEP) && !memcmp(scan.key.data, SWEEP, scan.key.size))
        any = scan_next(&scan);
    any = any && scan.key.size < sizeof ret->bytes;
    if (any) {
        ret->size = scan.key.size;
        memcpy(ret->bytes, scan.key.data, scan.key.size);
        *ret_gone = is_gone(txn, &scan.value);
    }
    scan_close(&scan);
    return any;
}

static void sweep(txn_t *txn)
{
    msg_bytes_t stored;
    store_key_t at = {.size = 0}, found;
    bool is_stale;
    if (txn_get(txn, TABLE_TRAILS, SWEEP, strlen(SWEEP), &stored) &&
        stored.size < sizeof at.bytes) {
        at.size = stored.size;
        memcpy(at.bytes, stored.data, stored.size);
    }
    for (int i = 0; i < TRAIL_SWEEP_MAX; i++) {
        if (!find_from(txn, &at, &found, &is_stale)) {
            at.size = 0; /* around again, the next time */
            break;
        }
        if (is_stale)
            txn_delete(txn, TABLE_TRAILS, found.bytes, found.size);
        at = found;
        at.bytes[at.size++] = '\0'; /* the least key behind it */
    }
    txn_put(txn, TABLE_TRAILS, SWEEP, strlen(SWEEP), at.bytes, at.size);
}

/* Looking ----------------------------------------------------------------------------------------
 */

static bool is_text(const msgpack_object *object, const char *text)
{
    return object && object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           !memcmp(object->via.str.ptr, text, object->via.str.size);
}

/* What stands under a number: nothing, if it names nobody and is nothing else either. */
typedef struct place {
    msg_bytes_t event;
    bool is_named;   /* it names the container */
    bool is_unknown; /* its fields are not known: where a link leads to it, that is right */
    bool is_mark;    /* in the place of a lost event, maybe one about this */
    uint64_t prev;
} place_t;

static void read_place(const msgpack_object *event, const char *ns, const char *id, place_t *ret)
{
    const msgpack_object *fields = journal_field(event, "event");
    const msgpack_object *prev = journal_field(event, "prev");
    bool is_in_ns = is_text(journal_field(event, "ns"), ns);
    ret->is_named = is_in_ns && fields &&
                    (is_text(journal_field(fields, "container_id"), id) ||
                     is_text(journal_field(fields, "id"), id));
    ret->is_unknown = is_in_ns && !fields;
    ret->is_mark = is_text(journal_field(event, "topic"), MEND_TOPIC_EVENT);
    if (prev && prev->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        ret->prev = prev->via.u64;
}

static place_t look_at(txn_t *txn, const char *ns, const char *id, uint64_t seq)
{
    place_t place = {.prev = 0};
    msgpack_unpacked unpacked;
    if (!txn_get(txn, TABLE_JOURNAL, &seq, sizeof seq, &place.event))
        return place;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)place.event.data, place.event.size, NULL) > 0)
        read_place(&unpacked.data, ns, id, &place);
    msgpack_unpacked_destroy(&unpacked);
    return place;
}

/* The newest event before `seq` that names the container, which a lost one was linked to. Where
 * `budget`, the number of events that may be looked at, is used up: one that is none of it, from
 * which to go on. 0 when the journal has none. */
static uint64_t search_before(txn_t *txn, const char *ns, const char *id, uint64_t seq,
                              size_t *budget)
{
    uint64_t first = journal_first(txn, TABLE_JOURNAL);
    while (first && seq-- > first) {
        place_t place = look_at(txn, ns, id, seq);
        if (place.is_named)
            return seq;
        if (*budget > 0)
            --*budget;
        if (!*budget && !place.is_unknown && !place.is_mark)
            return seq;
    }
    return 0;
}

/* The end of the trail ---------------------------------------------------------------------------
 */

uint64_t trail_search(txn_t *txn, const char *ns, const char *id)
{
    size_t budget = TRAIL_NEWEST_MAX;
    return search_before(txn, ns, id, txn_journal_last(txn) + 1, &budget);
}

/* One that is found damaged is looked for in the journal. */
static uint64_t stored_of(txn_t *txn, const char *ns, const char *id)
{
    store_key_t key = STORE_KEY(ns, id);
    msg_bytes_t stored;
    uint64_t seq = 0;
    if (txn_get(txn, TABLE_TRAILS, key.bytes, key.size, &stored))
        number_of(&stored, &seq);
    else if (txn_is_lost(txn, TABLE_TRAILS, key.bytes, key.size))
        seq = trail_search(txn, ns, id);
    return seq;
}

/* The record of the run that goes on, which has the number meanwhile. */
static bool find_run(txn_t *txn, const char *ns, const char *id, store_key_t *ret_key,
                     process_record_t *ret)
{
    head_record_t head;
    if (!head_record_get(txn, ns, id, &head) || !head.live)
        return false;
    *ret_key = STORE_KEY(ns, id, head.incarnation, "");
    return process_record_get(txn, ret_key, ret);
}

uint64_t trail_newest(txn_t *txn, const char *ns, const char *id)
{
    store_key_t run;
    process_record_t init;
    uint64_t stored = stored_of(txn, ns, id);
    bool is_in_run = find_run(txn, ns, id, &run, &init) && init.newest > stored;
    return is_in_run ? init.newest : stored;
}

uint64_t trail_add(txn_t *txn, const char *ns, const char *id, uint64_t seq)
{
    store_key_t key = STORE_KEY(ns, id), run;
    process_record_t init;
    if (find_run(txn, ns, id, &run, &init)) {
        uint64_t prev = trail_add_to(txn, ns, id, seq, &init.newest);
        process_record_put(txn, &run, &init);
        return prev;
    }
    uint64_t prev = stored_of(txn, ns, id);
    if (!prev)
        sweep(txn); /* first: the event of this number is not in the journal yet */
    txn_put(txn, TABLE_TRAILS, key.bytes, key.size, &seq, sizeof seq);
    return prev;
}

uint64_t trail_add_to(txn_t *txn, const char *ns, const char *id, uint64_t seq, uint64_t *newest)
{
    uint64_t prev = *newest;
    if (!prev)
        prev = stored_of(txn, ns, id);
    *newest = seq;
    return prev;
}

void trail_keep(txn_t *txn, const char *ns, const char *id, uint64_t seq)
{
    store_key_t key = STORE_KEY(ns, id);
    if (seq > stored_of(txn, ns, id))
        txn_put(txn, TABLE_TRAILS, key.bytes, key.size, &seq, sizeof seq);
}

void trail_mend(txn_t *txn, const store_key_t *key)
{
    char ns[TASK_FIELDS_ID_SIZE], id[TASK_FIELDS_ID_SIZE];
    const uint8_t *end = memchr(key->bytes, '\0', key->size);
    size_t size = end ? (size_t)(end - key->bytes) + 1 : 0;
    if (!end || size > sizeof ns || key->size - size >= sizeof id)
        return;
    memcpy(ns, key->bytes, size);
    memcpy(id, key->bytes + size, key->size - size);
    id[key->size - size] = '\0';
    uint64_t seq = trail_search(txn, ns, id);
    if (seq)
        txn_put(txn, TABLE_TRAILS, key->bytes, key->size, &seq, sizeof seq);
}

/* event.about ------------------------------------------------------------------------------------
 */

status_code_t trail_about(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_about_t *ask = call->ask;
    msg_event_trail_t *answer = call->answer;
    uint32_t limit = ask->limit ? ask->limit : PAGE_DEFAULT;
    uint64_t seq = ask->from ? ask->from : trail_newest(txn, call->ns, ask->id);
    size_t count = 0, budget = TRAIL_SEARCH_MAX;
    msgpack_sbuffer page;
    (void)st;
    msgpack_sbuffer_init(&page);
    while (seq && count < limit) {
        place_t place = look_at(txn, call->ns, ask->id, seq);
        bool is_about = place.is_named || place.is_unknown;
        if ((!is_about && !budget) || (count && page.size + place.event.size > JOURNAL_PAGE_BYTES))
            break;
        if (is_about || place.is_mark) {
            msgpack_sbuffer_write(&page, (const char *)place.event.data, place.event.size);
            count++;
        }
        if (is_about)
            seq = place.prev < seq ? place.prev : 0;
        else
            seq = search_before(txn, call->ns, ask->id, seq, &budget);
        answer->gap = !is_about && !seq;
    }
    answer->next = seq;
    answer->events = journal_array(&page, count, call->zone);
    msgpack_sbuffer_destroy(&page);
    return STATUS_OK;
}
