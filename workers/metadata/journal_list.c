/* The journal: reading pages of it. */
#include "workers/metadata/journal.h"

#include "common/filter.h"
#include "common/util.h"
#include "workers/metadata/retention.h"

#include <string.h>

#define PAGE_DEFAULT 1000 /* events */

typedef struct wanted {
    table_t table;        /* the journal, or what was put aside */
    uint64_t first, last; /* sequence numbers to look at */
    uint32_t count;       /* events at most */
    const char *ns;       /* NULL for all */
    int64_t since_time;   /* nothing older; 0 for no bound */
    filter_t *filter;     /* NULL for none */
} wanted_t;

typedef struct page {
    msgpack_sbuffer events; /* one after the other, without the array's head */
    size_t count, looked_at;
    uint64_t next;
} page_t;

const msgpack_object *journal_field(const msgpack_object *map, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object_kv *entry = &map->via.map.ptr[i];
        if (entry->key.type == MSGPACK_OBJECT_STR && entry->key.via.str.size == size &&
            !memcmp(entry->key.via.str.ptr, name, size))
            return &entry->val;
    }
    return NULL;
}

static int64_t time_of(const msgpack_object *event)
{
    const msgpack_object *time = journal_field(event, "time");
    if (time && (time->type == MSGPACK_OBJECT_POSITIVE_INTEGER ||
                 time->type == MSGPACK_OBJECT_NEGATIVE_INTEGER))
        return time->via.i64;
    return 0;
}

int64_t journal_time(txn_t *txn, uint64_t seq)
{
    msg_bytes_t event;
    int64_t time = 0;
    msgpack_unpacked unpacked;
    if (!txn_get(txn, TABLE_JOURNAL, &seq, sizeof seq, &event))
        return 0;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)event.data, event.size, NULL) > 0)
        time = time_of(&unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return time;
}

static bool is_in_ns(const msgpack_object *event, const char *ns)
{
    const msgpack_object *found = journal_field(event, "ns");
    return found && found->type == MSGPACK_OBJECT_STR && found->via.str.size == strlen(ns) &&
           !memcmp(found->via.str.ptr, ns, found->via.str.size);
}

static bool is_wanted(const wanted_t *wanted, const msg_bytes_t *event)
{
    if (!wanted->ns && !wanted->since_time && !wanted->filter)
        return true;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool answer = false;
    if (msgpack_unpack_next(&unpacked, (const char *)event->data, event->size, NULL) > 0)
        answer = (!wanted->ns || is_in_ns(&unpacked.data, wanted->ns)) &&
                 (!wanted->since_time || time_of(&unpacked.data) >= wanted->since_time) &&
                 filter_match_event(wanted->filter, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return answer;
}

/* Of the first event from `seq` on that is still there; INT64_MAX for none. */
static int64_t time_at(txn_t *txn, uint64_t seq)
{
    scan_t scan;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    int64_t time = INT64_MAX;
    if (scan_seek(&scan, txn, TABLE_JOURNAL, &seq, sizeof seq) &&
        msgpack_unpack_next(&unpacked, (const char *)scan.value.data, scan.value.size, NULL) > 0)
        time = time_of(&unpacked.data);
    scan_close(&scan);
    msgpack_unpacked_destroy(&unpacked);
    return time;
}

/* A sequence number in [first, last + 1] before which every event is older than `since`. Events
 * carry the time they happened and are appended in the order they arrive, at most JOURNAL_LATE_NS
 * later: so one that is older by that much has only older ones before it. */
static uint64_t skip_older(txn_t *txn, uint64_t first, uint64_t last, int64_t since)
{
    while (first <= last) {
        uint64_t middle = first + (last - first) / 2;
        if (time_at(txn, middle) < since - JOURNAL_LATE_NS)
            first = middle + 1;
        else
            last = middle - 1;
    }
    return first;
}

/* Takes the event that the walk stands on, or says that the page is full. */
static bool take(page_t *page, const wanted_t *wanted, const scan_t *scan)
{
    status_t st;
    if (page->looked_at == JOURNAL_SCAN_MAX || filter_status(wanted->filter, &st))
        return false;
    page->looked_at++;
    if (!is_wanted(wanted, &scan->value))
        return true;
    bool full = page->count == wanted->count ||
                (page->count && page->events.size + scan->value.size > JOURNAL_PAGE_BYTES);
    if (full)
        return false;
    msgpack_sbuffer_write(&page->events, (const char *)scan->value.data, scan->value.size);
    page->count++;
    return true;
}

static void collect(txn_t *txn, const wanted_t *wanted, page_t *page)
{
    scan_t scan;
    page->next = wanted->first;
    bool any = scan_seek(&scan, txn, wanted->table, &wanted->first, sizeof wanted->first);
    for (; any; any = scan_next(&scan)) {
        uint64_t seq;
        memcpy(&seq, scan.key.data, sizeof seq);
        if (seq > wanted->last || !take(page, wanted, &scan))
            break;
        page->next = seq + 1;
    }
    scan_close(&scan);
}

msg_bytes_t journal_array(const msgpack_sbuffer *maps, size_t count, msgpack_zone *zone)
{
    msgpack_sbuffer array;
    msgpack_sbuffer_init(&array);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &array, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    if (count)
        msgpack_sbuffer_write(&array, maps->data, maps->size);
    uint8_t *data = msgpack_zone_malloc(zone, array.size);
    if (!data)
        abort();
    memcpy(data, array.data, array.size);
    msg_bytes_t ret = {.data = data, .size = array.size};
    msgpack_sbuffer_destroy(&array);
    return ret;
}

/* What was trimmed is known to the number; what is missing in front besides was damaged. */
bool journal_has_gap(txn_t *txn, const char *ns, uint64_t since)
{
    uint64_t first = journal_first(txn, TABLE_JOURNAL);
    bool is_damaged = since < first && retention_gone(txn, NULL).seq + 1 < first;
    return is_damaged || since <= retention_gone(txn, ns).seq;
}

static void find_gap(txn_t *txn, const call_t *call, msg_event_page_t *answer)
{
    const msg_event_list_t *ask = call->ask;
    const char *ns = ask->all ? NULL : call->ns;
    if (ask->raw) {
        answer->gap = ask->since && ask->since < answer->first;
        return;
    }
    retention_gone_t gone = retention_gone(txn, ns);
    answer->gone = gone.seq;
    answer->gap = (ask->since && journal_has_gap(txn, ns, ask->since)) ||
                  (ask->since_time && ask->since_time <= gone.time);
}

status_code_t journal_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_list_t *ask = call->ask;
    msg_event_page_t *answer = call->answer;
    if (!ask->all && !call->ns)
        return status_set(st, STATUS_INVALID_ARGUMENT, "event.list: namespace is missing");
    AUTO(filter)
    filter = NULL;
    if (filter_parse(&ask->filters, &filter, st))
        return st->code;
    table_t table = ask->raw ? TABLE_ASIDE : TABLE_JOURNAL;
    answer->first = journal_first(txn, table);
    answer->last = journal_last(txn, table);
    find_gap(txn, call, answer);

    wanted_t wanted = {.table = table,
                       .first = ask->since > answer->first ? ask->since : answer->first,
                       .last = ask->until && ask->until < answer->last ? ask->until : answer->last,
                       .count = ask->limit ? ask->limit : PAGE_DEFAULT,
                       .ns = ask->all ? NULL : call->ns,
                       .since_time = ask->since_time,
                       .filter = filter};
    /* What was put aside may have come at any time. */
    if (wanted.since_time && wanted.first && !ask->raw)
        wanted.first = skip_older(txn, wanted.first, wanted.last, wanted.since_time);
    page_t page = {.count = 0};
    msgpack_sbuffer_init(&page.events);
    collect(txn, &wanted, &page);
    answer->events = journal_array(&page.events, page.count, call->zone);
    answer->next = page.next ? page.next : 1;
    msgpack_sbuffer_destroy(&page.events);
    return filter_status(filter, st);
}
