/* request.list: what was asked about one container. */
#include "workers/metadata/requests.h"

#include <string.h>

#define PAGE_DEFAULT 1000       /* outcomes */
#define PAGE_BYTES   (8u << 20) /* of stored outcomes that one page reads */
#define CURSOR_SIZE  (sizeof(uint64_t) + MSG_UUID_SIZE)

typedef struct page {
    const store_key_t *prefix;
    msg_outcome_t *items; /* `limit` of them */
    size_t count, limit, bytes;
    store_key_t last;
} page_t;

/* The zone keeps all that the outcome had but its answer. */
static void read_outcome(page_t *page, const scan_t *scan, msgpack_zone *zone)
{
    msg_bytes_t stored;
    status_t st;
    msg_outcome_t *item = &page->items[page->count];
    const uint8_t *id = scan->key.data + scan->key.size - MSG_UUID_SIZE;
    if (!txn_get(scan->txn, TABLE_REQUESTS, id, MSG_UUID_SIZE, &stored))
        return;
    page->bytes += stored.size;
    if (msg_decode(MSG_outcome, stored.data, stored.size, zone, item, &st)) {
        txn_fail(scan->txn, MDB_CORRUPTED);
        return;
    }
    item->answer = (msg_bytes_t){.data = NULL};
    page->count++;
}

static bool take(page_t *page, const scan_t *scan, msgpack_zone *zone)
{
    if (page->count == page->limit || page->bytes >= PAGE_BYTES)
        return false;
    page->last.size = CURSOR_SIZE;
    memcpy(page->last.bytes, scan->key.data + page->prefix->size, CURSOR_SIZE);
    read_outcome(page, scan, zone);
    return true;
}

static bool is_mine(const scan_t *scan, const store_key_t *prefix)
{
    return scan_has_prefix(scan, prefix) && scan->key.size == prefix->size + CURSOR_SIZE;
}

static msg_bytes_t next_of(const page_t *page, msgpack_zone *zone)
{
    uint8_t *copy = msgpack_zone_malloc(zone, page->last.size);
    if (!copy)
        abort();
    return (msg_bytes_t){.data = memcpy(copy, page->last.bytes, page->last.size),
                         .size = page->last.size};
}

status_code_t requests_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_request_list_t *ask = call->ask;
    msg_outcomes_t *answer = call->answer;
    if (ask->after.data && ask->after.size != CURSOR_SIZE)
        return status_set(st, STATUS_INVALID_ARGUMENT, "request.list: after is no `next`");
    store_key_t prefix = STORE_KEY(call->ns, ask->id, "");
    store_key_t from = prefix;
    memcpy(from.bytes + from.size, ask->after.data ? (const void *)ask->after.data : "",
           ask->after.size);
    from.size += ask->after.size;
    page_t page = {.prefix = &prefix, .limit = ask->limit ? ask->limit : PAGE_DEFAULT};
    page.items = msgpack_zone_malloc(call->zone, page.limit * sizeof *page.items);
    if (!page.items)
        abort();
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_TARGETS, from.bytes, from.size);
    if (any && ask->after.data && scan.key.size == from.size &&
        !memcmp(scan.key.data, from.bytes, from.size))
        any = scan_next(&scan);
    while (any && is_mine(&scan, &prefix) && take(&page, &scan, call->zone))
        any = scan_next(&scan);
    if (any && is_mine(&scan, &prefix))
        answer->next = next_of(&page, call->zone);
    scan_close(&scan);
    answer->requests.items = page.items;
    answer->requests.count = page.count;
    return STATUS_OK;
}
