/* Merging labels. */
#include "workers/metadata/labels.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    const msg_label_t *label;
    size_t order;
} entry_t;

static int by_key(const void *a, const void *b)
{
    const entry_t *left = a, *right = b;
    int order = strcmp(left->label->key, right->label->key);
    return order ? order : left->order < right->order ? -1 : 1;
}

status_code_t labels_merge(const msg_labels_t *labels, const msg_labels_t *changes,
                           msgpack_zone *zone, msg_labels_t *ret, status_t *st)
{
    size_t total = labels->count + changes->count;
    msg_label_t *items = msgpack_zone_malloc(zone, (total + 1) * sizeof *items);
    entry_t *entries = calloc(total + 1, sizeof *entries);
    if (!items || !entries)
        abort();
    for (size_t i = 0; i < total; i++)
        entries[i] = (entry_t){.order = i,
                               .label = i < labels->count ? &labels->items[i]
                                                          : &changes->items[i - labels->count]};
    qsort(entries, total, sizeof *entries, by_key);
    size_t count = 0;
    for (size_t i = 0; i < total; i++) {
        bool is_last = i + 1 == total || strcmp(entries[i].label->key, entries[i + 1].label->key);
        if (is_last && entries[i].label->value[0])
            items[count++] = *entries[i].label;
    }
    free(entries);
    if (count > LIMIT_LABELS)
        return status_set(st, STATUS_INVALID_ARGUMENT, "labels are %zu, limit %d", count,
                          LIMIT_LABELS);
    *ret = (msg_labels_t){.items = items, .count = count};
    return STATUS_OK;
}
