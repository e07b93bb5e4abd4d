/* Named readers of the journal. */
#include "workers/metadata/subscribers.h"

#include "common/filter.h"
#include "common/log.h"
#include "workers/metadata/journal.h"

#include <inttypes.h>
#include <string.h>

/* Pages of the journal that are looked at to find where a time is: from there on a new subscriber
 * reads a little more than it asked for, and never less. */
#define LOCATE_PAGES_MAX 16

static store_key_t key_of(const char *space, const char *name)
{
    return STORE_KEY(space, name);
}

const char *subscribers_space(const char *ns, bool all, const char *method, status_t *st)
{
    if (all)
        return "";
    if (!ns)
        status_set(st, STATUS_INVALID_ARGUMENT, "%s: namespace is missing", method);
    return ns;
}

bool subscribers_get(txn_t *txn, const char *space, const char *name, msgpack_zone *zone,
                     msg_subscriber_t *ret, status_t *st)
{
    store_key_t key = key_of(space, name);
    if (txn_get_message(txn, TABLE_SUBSCRIBERS, &key, MSG_subscriber, zone, ret))
        return true;
    status_set(st, STATUS_NOT_FOUND, "subscriber %s: not found%s%s", name,
               *space ? " in namespace " : " among those of all namespaces", space);
    return false;
}

/* What the record says of the journal is left for whoever reads it. */
static void put(txn_t *txn, const msg_subscriber_t *record)
{
    msg_subscriber_t stored = *record;
    store_key_t key = key_of(record->ns ? record->ns : "", record->name);
    stored.last = 0;
    stored.gap = false;
    txn_put_message(txn, TABLE_SUBSCRIBERS, &key, MSG_subscriber, &stored);
}

static void complete(txn_t *txn, msg_subscriber_t *record)
{
    record->last = journal_last(txn, TABLE_JOURNAL);
    record->gap = journal_has_gap(txn, record->ns, record->acked + 1);
}

/* event.subscribe --------------------------------------------------------------------------------
 */

status_code_t subscribers_check(const void *arg, status_t *st)
{
    const msg_event_subscribe_t *ask = arg;
    size_t bytes = 0;
    for (size_t i = 0; i < ask->filters.count; i++)
        bytes += strlen(ask->filters.items[i]);
    if (bytes > SUBSCRIBERS_FILTER_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "event.subscribe: filters are %zu bytes long together, limit %d", bytes,
                          SUBSCRIBERS_FILTER_BYTES);
    if ((ask->since > 0) + (ask->since_time != 0) + ask->oldest > 1)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "event.subscribe: since, since_time and oldest exclude each other");
    filter_t *filter;
    status_code_t code = filter_parse(&ask->filters, &filter, st);
    filter_destroy(&filter);
    return code;
}

static bool are_same(const msg_texts_t *one, const msg_texts_t *other)
{
    bool same = one->count == other->count;
    for (size_t i = 0; same && i < one->count; i++)
        same = !strcmp(one->items[i], other->items[i]);
    return same;
}

static status_code_t find(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_subscribe_t *ask = call->ask;
    msg_subscriber_t *record = call->answer;
    if (ask->filters.count && !are_same(&ask->filters, &record->filters))
        return status_set(st, STATUS_ALREADY_EXISTS,
                          "subscriber %s: is there with other filters: event.unsubscribe first",
                          ask->name);
    record->used_at = call->now;
    put(txn, record);
    complete(txn, record);
    return STATUS_OK;
}

/* What lies before the first event that is not older than `time`. */
static uint64_t locate(txn_t *txn, const call_t *call, int64_t time, status_t *st)
{
    msg_event_list_t ask = {.since_time = time, .limit = 1, .all = true};
    msg_event_page_t page = {.next = 1};
    for (int i = 0; i < LOCATE_PAGES_MAX; i++) {
        const call_t list = {.ask = &ask, .answer = &page, .zone = call->zone, .now = call->now};
        memset(&page, 0, sizeof page);
        if (journal_list(txn, &list, st))
            return 0;
        if (page.next > page.last || page.events.data[0] != 0x90) /* msgpack's empty array */
            break;
        ask.since = page.next;
    }
    bool found = page.events.data[0] != 0x90;
    return page.next - 1 - found;
}

static status_code_t find_start(txn_t *txn, const call_t *call, uint64_t *ret, status_t *st)
{
    const msg_event_subscribe_t *ask = call->ask;
    uint64_t first = journal_first(txn, TABLE_JOURNAL), last = journal_last(txn, TABLE_JOURNAL);
    *ret = last;
    if (ask->oldest && first)
        *ret = first - 1;
    if (ask->since > last + 1)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "event.subscribe: since is %" PRIu64 ", the journal ends with %" PRIu64,
                          ask->since, last);
    if (ask->since)
        *ret = ask->since - 1;
    if (ask->since_time)
        *ret = locate(txn, call, ask->since_time, st);
    return st->code;
}

status_code_t subscribers_subscribe(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_subscribe_t *ask = call->ask;
    msg_subscriber_t *record = call->answer;
    const char *space = subscribers_space(call->ns, ask->all, "event.subscribe", st);
    status_t none = {.code = STATUS_OK};
    if (!space)
        return st->code;
    if (subscribers_get(txn, space, ask->name, call->zone, record, &none))
        return find(txn, call, st);
    if (txn_count(txn, TABLE_SUBSCRIBERS) >= SUBSCRIBERS_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "subscriber %s: there are %d already, the limit: event.unsubscribe one",
                          ask->name, SUBSCRIBERS_MAX);
    uint64_t acked = 0;
    status_clear(st);
    if (find_start(txn, call, &acked, st))
        return st->code;
    *record = (msg_subscriber_t){.ns = *space ? space : NULL,
                                 .name = ask->name,
                                 .filters = ask->filters,
                                 .acked = acked,
                                 .created_at = call->now,
                                 .used_at = call->now};
    put(txn, record);
    complete(txn, record);
    return STATUS_OK;
}

/* event.ack, event.unsubscribe -------------------------------------------------------------------
 */

status_code_t subscribers_ack(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_ack_t *ask = call->ask;
    msg_event_seq_t *answer = call->answer;
    msg_subscriber_t record;
    const char *space = subscribers_space(call->ns, ask->all, "event.ack", st);
    if (!space || !subscribers_get(txn, space, ask->name, call->zone, &record, st))
        return st->code;
    if (ask->seq > record.acked && ask->seq > call->delivered)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "event.ack: seq is %" PRIu64 ", subscriber %s was given up to %" PRIu64,
                          ask->seq, ask->name, call->delivered);
    if (ask->seq > record.acked) {
        record.acked = ask->seq;
        record.used_at = call->now;
        put(txn, &record);
    }
    answer->seq = record.acked;
    return STATUS_OK;
}

status_code_t subscribers_unsubscribe(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_unsubscribe_t *ask = call->ask;
    msg_subscriber_t record;
    const char *space = subscribers_space(call->ns, ask->all, "event.unsubscribe", st);
    if (!space || !subscribers_get(txn, space, ask->name, call->zone, &record, st))
        return st->code;
    store_key_t key = key_of(space, ask->name);
    txn_delete(txn, TABLE_SUBSCRIBERS, key.bytes, key.size);
    return STATUS_OK;
}

void subscribers_touch(txn_t *txn, const char *space, const char *name, int64_t now)
{
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    msg_subscriber_t record;
    status_t none;
    if (!zone)
        abort();
    if (subscribers_get(txn, space, name, zone, &record, &none)) {
        record.used_at = now;
        put(txn, &record);
    }
    msgpack_zone_free(zone);
}

/* Lists ------------------------------------------------------------------------------------------
 */

static bool decode(const scan_t *scan, msgpack_zone *zone, msg_subscriber_t *ret)
{
    status_t st;
    if (!msg_decode(MSG_subscriber, scan->value.data, scan->value.size, zone, ret, &st))
        return true;
    txn_fail(scan->txn, MDB_CORRUPTED);
    return false;
}

status_code_t subscribers_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_subscribers_t *ask = call->ask;
    msg_subscribers_t *answer = call->answer;
    const char *space = subscribers_space(call->ns, ask->all, "event.subscribers", st);
    if (!space)
        return st->code;
    msg_subscriber_t *items =
        msgpack_zone_malloc(call->zone, SUBSCRIBERS_MAX * sizeof *answer->subscribers.items);
    if (!items)
        abort();
    size_t count = 0;
    store_key_t prefix = key_of(space, "");
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_SUBSCRIBERS, ask->all ? NULL : prefix.bytes,
                         ask->all ? 0 : prefix.size);
    for (; any && count < SUBSCRIBERS_MAX; any = scan_next(&scan)) {
        if (!ask->all && !scan_has_prefix(&scan, &prefix))
            break;
        if (!decode(&scan, call->zone, &items[count]))
            break;
        complete(txn, &items[count++]);
    }
    scan_close(&scan);
    answer->subscribers.items = items;
    answer->subscribers.count = count;
    return STATUS_OK;
}

status_code_t subscribers_page(txn_t *txn, const msg_subscriber_t *subscriber, uint64_t after,
                               uint32_t limit, msgpack_zone *zone, msg_event_page_t *ret,
                               status_t *st)
{
    const msg_event_list_t ask = {.since =
                                      (after > subscriber->acked ? after : subscriber->acked) + 1,
                                  .limit = limit,
                                  .all = !subscriber->ns,
                                  .filters = subscriber->filters};
    const call_t call = {.ns = subscriber->ns, .ask = &ask, .answer = ret, .zone = zone};
    memset(ret, 0, sizeof *ret);
    return journal_list(txn, &call, st);
}

/* Expiry -----------------------------------------------------------------------------------------
 */

/* The first that was last used before `oldest`. */
static bool find_idle(txn_t *txn, int64_t oldest, store_key_t *ret)
{
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    scan_t scan;
    bool found = false;
    if (!zone)
        abort();
    bool any = scan_seek(&scan, txn, TABLE_SUBSCRIBERS, NULL, 0);
    for (; any && !found; any = scan_next(&scan)) {
        msg_subscriber_t record;
        if (!decode(&scan, zone, &record))
            break;
        found = record.used_at < oldest;
        if (found) {
            log_info("subscriber %s%s%s: forgotten, nobody has read it for too long",
                     record.ns ? record.ns : "", record.ns ? "/" : "", record.name);
            *ret = key_of(record.ns ? record.ns : "", record.name);
        }
        msgpack_zone_clear(zone);
    }
    scan_close(&scan);
    msgpack_zone_free(zone);
    return found;
}

size_t subscribers_expire(txn_t *txn, int64_t oldest)
{
    store_key_t key;
    size_t count = 0;
    for (; find_idle(txn, oldest, &key); count++)
        txn_delete(txn, TABLE_SUBSCRIBERS, key.bytes, key.size);
    return count;
}
