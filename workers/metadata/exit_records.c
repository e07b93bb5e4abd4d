/* Exit records, and their index by time. */
#include "workers/metadata/exit_records.h"

#include "common/util.h"
#include "workers/metadata/filtered.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define PAGE_DEFAULT 1000 /* records */

/* Times count down, so that the newest come first. */
static store_key_t index_key(const store_key_t *key, int64_t exited_at)
{
    store_key_t index = {.size = sizeof(uint64_t) + key->size};
    uint64_t time = htobe64(~(uint64_t)exited_at);
    assert(index.size <= sizeof index.bytes);
    memcpy(index.bytes, &time, sizeof time);
    memcpy(index.bytes + sizeof time, key->bytes, key->size);
    return index;
}

static void forget_time(txn_t *txn, const store_key_t *key)
{
    msg_exited_t record;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone)
        abort();
    if (txn_get_message(txn, TABLE_EXITS, key, MSG_exited, zone, &record)) {
        store_key_t index = index_key(key, record.exited_at);
        txn_delete(txn, TABLE_ENDS, index.bytes, index.size);
    }
    msgpack_zone_free(zone);
}

void exit_records_put(txn_t *txn, const store_key_t *key, const msg_incarnation_exit_t *record)
{
    store_key_t index = index_key(key, record->exited_at);
    forget_time(txn, key);
    txn_put_message(txn, TABLE_EXITS, key, MSG_incarnation_exit, record);
    txn_put(txn, TABLE_ENDS, index.bytes, index.size, "", 0);
}

void exit_records_delete(txn_t *txn, const store_key_t *key)
{
    forget_time(txn, key);
    txn_delete(txn, TABLE_EXITS, key->bytes, key->size);
}

void exit_records_reindex(txn_t *txn)
{
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone)
        abort();
    scan_t scan;
    for (bool any = scan_seek(&scan, txn, TABLE_EXITS, NULL, 0); any; any = scan_next(&scan)) {
        msg_incarnation_exit_t record;
        status_t st;
        store_key_t key = {.size = scan.key.size};
        if (key.size + sizeof(uint64_t) > sizeof key.bytes ||
            msg_decode(MSG_incarnation_exit, scan.value.data, scan.value.size, zone, &record, &st))
            continue;
        memcpy(key.bytes, scan.key.data, key.size);
        store_key_t index = index_key(&key, record.exited_at);
        txn_put(txn, TABLE_ENDS, index.bytes, index.size, "", 0); /* another table */
        msgpack_zone_clear(zone);
    }
    scan_close(&scan);
    msgpack_zone_free(zone);
}

/* exit.list --------------------------------------------------------------------------------------
 */

typedef struct page {
    const store_key_t *prefix; /* of the wanted keys of TABLE_EXITS; empty for all */
    const msg_exit_list_t *ask;
    filter_t *filter; /* NULL for none */
    uint32_t limit;
    msg_exit_record_t *items; /* `limit` of them */
    size_t count, looked_at;
    store_key_t last; /* looked at */
} page_t;

/* The texts of a key: namespace, container and run end with NUL, and so does the copy. */
static const char *copy_key(const store_key_t *key, msgpack_zone *zone)
{
    char *copy = msgpack_zone_malloc(zone, key->size + 1);
    if (!copy)
        abort();
    memcpy(copy, key->bytes, key->size);
    copy[key->size] = '\0';
    return copy;
}

static const char *after_text(const char *text)
{
    return text + strlen(text) + 1;
}

/* False when the record is lost: what it was is not invented. */
static bool read_record(txn_t *txn, const store_key_t *key, msgpack_zone *zone,
                        msg_exit_record_t *ret)
{
    msg_incarnation_exit_t stored;
    if (!txn_get_message(txn, TABLE_EXITS, key, MSG_incarnation_exit, zone, &stored))
        return false;
    const char *ns = copy_key(key, zone);
    *ret = (msg_exit_record_t){.ns = ns,
                               .id = after_text(ns),
                               .incarnation = after_text(after_text(ns)),
                               .exec_id = stored.exec_id,
                               .pid = stored.pid,
                               .exit_status = stored.exit_status,
                               .exited_at = stored.exited_at,
                               .unknown = stored.unknown,
                               .why = stored.why,
                               .source = stored.source,
                               .oom_kills = stored.oom_kills,
                               .stopped = stored.stopped,
                               .unstarted = stored.unstarted};
    return true;
}

static bool is_wanted(page_t *page, txn_t *txn, const store_key_t *key)
{
    if (!page->filter)
        return true;
    msg_exit_record_t record;
    msgpack_zone *trial = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!trial)
        abort();
    bool wanted = read_record(txn, key, trial, &record) &&
                  filter_match_record(page->filter, MSG_exit_record, &record);
    msgpack_zone_free(trial);
    return wanted;
}

/* Takes the entry that the walk stands on. False when the page is full. */
static bool take(page_t *page, const scan_t *scan, msgpack_zone *zone)
{
    status_t st;
    size_t skip = sizeof(uint64_t);
    store_key_t key = {.size = 0};
    if (page->count == page->limit || page->looked_at == EXIT_RECORDS_SCAN_MAX ||
        filter_status(page->filter, &st))
        return false;
    page->looked_at++;
    page->last.size = scan->key.size;
    memcpy(page->last.bytes, scan->key.data, scan->key.size);
    key.size = scan->key.size - skip;
    memcpy(key.bytes, scan->key.data + skip, key.size);
    bool mine = key.size >= page->prefix->size &&
                !memcmp(key.bytes, page->prefix->bytes, page->prefix->size);
    if (mine && is_wanted(page, scan->txn, &key) &&
        read_record(scan->txn, &key, zone, &page->items[page->count]))
        page->count++;
    return true;
}

static bool can_walk(const scan_t *scan)
{
    return scan->key.size > sizeof(uint64_t) && scan->key.size <= STORE_KEY_MAX;
}

static msg_bytes_t next_of(const store_key_t *key, msgpack_zone *zone)
{
    return (msg_bytes_t){.data = (const uint8_t *)copy_key(key, zone), .size = key->size};
}

static store_key_t prefix_of(const call_t *call)
{
    const msg_exit_list_t *ask = call->ask;
    if (ask->all || !call->ns)
        return (store_key_t){.size = 0};
    return ask->id ? STORE_KEY(call->ns, ask->id, "") : STORE_KEY(call->ns, "");
}

static void collect(page_t *page, txn_t *txn, const call_t *call)
{
    const msg_exit_list_t *ask = call->ask;
    msg_exit_records_t *answer = call->answer;
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_ENDS, ask->after.data, ask->after.size);
    if (any && scan.key.size == ask->after.size &&
        !memcmp(scan.key.data, ask->after.data, scan.key.size))
        any = scan_next(&scan);
    while (any && can_walk(&scan) && take(page, &scan, call->zone))
        any = scan_next(&scan);
    scan_close(&scan);
    answer->exits.items = page->items;
    answer->exits.count = page->count;
    if (any)
        answer->next = next_of(&page->last, call->zone);
}

status_code_t exit_records_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_exit_list_t *ask = call->ask;
    if (!ask->all && !call->ns)
        return status_set(st, STATUS_INVALID_ARGUMENT, "exit.list: namespace is missing");
    if (ask->all && ask->id)
        return status_set(st, STATUS_INVALID_ARGUMENT, "exit.list: id and all at once");
    if (ask->after.size > STORE_KEY_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "exit.list: after is no `next`");
    AUTO(filter)
    filter = NULL;
    if (filter_parse(&ask->filters, &filter, st))
        return st->code;
    store_key_t prefix = prefix_of(call);
    page_t page = {.prefix = &prefix,
                   .ask = ask,
                   .filter = filter,
                   .limit = ask->limit ? ask->limit : PAGE_DEFAULT};
    page.items = msgpack_zone_malloc(call->zone, page.limit * sizeof *page.items);
    if (!page.items)
        abort();
    collect(&page, txn, call);
    return filter_status(filter, st);
}
