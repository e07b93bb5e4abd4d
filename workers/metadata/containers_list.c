/* Pages of container records. */
#include "workers/metadata/containers.h"

#include "common/util.h"
#include "workers/metadata/filtered.h"

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
    filter_t *filter;          /* NULL for none */
    uint32_t limit;
    size_t capacity, bytes; /* of what is on the page */
    size_t looked_at, bytes_looked_at;
    store_key_t last; /* record that was looked at */
    msg_container_t *items;
    size_t count;
} page_t;

static void grow(page_t *page)
{
    if (page->count < page->capacity)
        return;
    page->capacity = page->capacity ? page->capacity * 2 : 16;
    page->items = realloc(page->items, page->capacity * sizeof *page->items);
    if (!page->items)
        abort();
}

/* Whether a record of `size` bytes is one too many. */
static bool is_full(const page_t *page, size_t size)
{
    if (page->count == page->limit || (page->count && page->bytes + size > CONTAINERS_PAGE_BYTES))
        return true;
    return page->filter && page->looked_at &&
           (page->looked_at == CONTAINERS_SCAN_MAX ||
            page->bytes_looked_at + size > CONTAINERS_SCAN_BYTES);
}

/* Takes the record that the walk stands on. False when the page is full or the namespace ends;
 * `*more` tells them apart. */
static bool take(page_t *page, const scan_t *scan, const call_t *call, bool *more)
{
    if (page->prefix && !scan_has_prefix(scan, page->prefix))
        return false;
    if (page->skip && is_key(scan, page->skip))
        return true;
    *more = is_full(page, scan->value.size);
    if (*more)
        return false;
    grow(page);
    page->looked_at++;
    page->bytes_looked_at += scan->value.size;
    page->last.size = scan->key.size;
    memcpy(page->last.bytes, scan->key.data, scan->key.size);
    if (filtered_record(page->filter, scan, MSG_container, call->zone, &page->items[page->count])) {
        page->bytes += scan->value.size;
        page->count++;
    }
    return true;
}

/* "NS/ID" of a key. */
static const char *next_of(const store_key_t *key, msgpack_zone *zone)
{
    char *next = msgpack_zone_malloc(zone, key->size + 1);
    if (!next)
        abort();
    memcpy(next, key->bytes, key->size);
    next[key->size] = '\0';
    next[strlen(next)] = '/';
    return next;
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
    if (more)
        answer->next = next_of(&page->last, call->zone);
}

/* What is before the page: `prefix` and `after` are keys that it refers to. */
static status_code_t read_bounds(const call_t *call, store_key_t *prefix, store_key_t *after,
                                 status_t *st)
{
    const msg_container_list_t *ask = call->ask;
    prefix->size = 0;
    if (!ask->all && !call->ns)
        return status_set(st, STATUS_INVALID_ARGUMENT, "container.list: namespace is missing");
    if (!ask->all)
        *prefix = STORE_KEY(call->ns, "");
    return ask->after ? key_after(ask->after, after, st) : STATUS_OK;
}

status_code_t containers_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_container_list_t *ask = call->ask;
    store_key_t prefix, after, from;
    AUTO(filter)
    filter = NULL;
    if (read_bounds(call, &prefix, &after, st) || filter_parse(&ask->filters, &filter, st))
        return st->code;
    from = ask->after && is_before(&prefix, &after) ? after : prefix;

    page_t page = {.prefix = ask->all ? NULL : &prefix,
                   .skip = ask->after ? &after : NULL,
                   .filter = filter,
                   .limit = ask->limit ? ask->limit : PAGE_DEFAULT};
    bool more = false;
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_CONTAINERS, from.size ? from.bytes : NULL, from.size);
    while (any && !filter_status(filter, st) && take(&page, &scan, call, &more))
        any = scan_next(&scan);
    scan_close(&scan);
    answer_page(&page, more, call);
    free(page.items);
    return filter_status(filter, st);
}
