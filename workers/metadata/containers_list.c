/* Pages of container records. */
#include "workers/metadata/containers.h"

#include "common/util.h"

#include <string.h>

#define PAGE_DEFAULT 1000 /* records */

/* "NS/ID", the last record of the page before, as a key. */
static status_code_t key_after(const char *after, store_key_t *ret, status_t *st)
{
    const char *slash = strchr(after, '/');
    size_t ns_size = slash ? (size_t)(slash - after) : 0;
    if (!slash || !msg_is_identifier(after, ns_size) ||
        !msg_is_identifier(slash + 1, strlen(slash + 1)))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "container.list: after is not the `next` of a page");
    AUTO_FREE char *ns = util_format("%.*s", (int)ns_size, after);
    *ret = STORE_KEY(ns, slash + 1);
    return STATUS_OK;
}

static bool is_before(const store_key_t *left, const store_key_t *right)
{
    size_t size = left->size < right->size ? left->size : right->size;
    int order = memcmp(left->bytes, right->bytes, size);
    return order ? order < 0 : left->size < right->size;
}

static bool is_key(const scan_t *scan, const store_key_t *key)
{
    return scan->key.size == key->size && !memcmp(scan->key.data, key->bytes, key->size);
}

typedef struct page {
    const store_key_t *prefix; /* of the namespace, NULL for all */
    const store_key_t *skip;   /* NULL for none */
    uint32_t limit;
    size_t capacity, bytes;
    msg_container_t *items;
    size_t count;
} page_t;

/* Takes the record that the walk stands on. False when the page is full or the namespace ends;
 * `*more` tells them apart. */
static bool take(page_t *page, const scan_t *scan, const call_t *call, bool *more)
{
    status_t st;
    if (page->prefix && !scan_has_prefix(scan, page->prefix))
        return false;
    if (page->skip && is_key(scan, page->skip))
        return true;
    page->bytes += scan->value.size;
    *more = page->count == page->limit || (page->count && page->bytes > CONTAINERS_PAGE_BYTES);
    if (*more)
        return false;
    if (page->count == page->capacity) {
        page->capacity = page->capacity ? page->capacity * 2 : 16;
        page->items = realloc(page->items, page->capacity * sizeof *page->items);
        if (!page->items)
            abort();
    }
    if (msg_decode(MSG_container, scan->value.data, scan->value.size, call->zone,
                   &page->items[page->count], &st)) {
        txn_fail(scan->txn, MDB_CORRUPTED);
        return false;
    }
    page->count++;
    return true;
}

static void answer_page(const page_t *page, bool more, const call_t *call)
{
    msg_containers_t *answer = call->answer;
    answer->containers.count = page->count;
    answer->containers.items =
        msgpack_zone_malloc(call->zone, (page->count + 1) * sizeof *page->items);
    if (!answer->containers.items)
        abort();
    if (page->count)
        memcpy(answer->containers.items, page->items, page->count * sizeof *page->items);
    if (!more)
        return;
    const msg_container_t *last = &page->items[page->count - 1];
    AUTO_FREE char *next = util_format("%s/%s", last->ns, last->id);
    char *copy = msgpack_zone_malloc(call->zone, strlen(next) + 1);
    if (!copy)
        abort();
    answer->next = strcpy(copy, next);
}

status_code_t containers_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_container_list_t *ask = call->ask;
    store_key_t prefix = {.size = 0}, after, from;
    if (!ask->all && !call->ns)
        return status_set(st, STATUS_INVALID_ARGUMENT, "container.list: namespace is missing");
    if (!ask->all)
        prefix = STORE_KEY(call->ns, "");
    if (ask->after && key_after(ask->after, &after, st))
        return st->code;
    from = ask->after && is_before(&prefix, &after) ? after : prefix;

    page_t page = {.prefix = ask->all ? NULL : &prefix,
                   .skip = ask->after ? &after : NULL,
                   .limit = ask->limit ? ask->limit : PAGE_DEFAULT};
    bool more = false;
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_CONTAINERS, from.size ? from.bytes : NULL, from.size);
    while (any && take(&page, &scan, call, &more))
        any = scan_next(&scan);
    scan_close(&scan);
    answer_page(&page, more, call);
    free(page.items);
    return STATUS_OK;
}
