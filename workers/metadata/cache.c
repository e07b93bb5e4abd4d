/* Small records between the write transactions and LMDB. */
#include "workers/metadata/cache.h"

#include "common/util.h"

#include <czmq.h>
#include <string.h>

#define XXH_INLINE_ALL /* of every record that is looked for */
#include <xxhash.h>

#define ROUND   64 /* bytes: a value may grow a little without another allocation */
#define BUCKETS ((size_t)2 * CACHE_RECORDS_MAX)

_Static_assert((BUCKETS & (BUCKETS - 1)) == 0, "a hash's lower bits are a bucket");

typedef struct record {
    struct record *next; /* of its bucket */
    uint64_t hash;
    table_t table;
    size_t key_size, size, capacity; /* of the value */
    size_t place;                    /* in the list of new ones, from 1 on; 0 when it is not new */
    uint8_t *value;                  /* in `bytes`, behind the key */
    const uint8_t *key;              /* in `bytes`, in front; of a name to look for, anywhere */
    uint8_t bytes[];
} record_t;

/* A table of its own: czmq's has the records three steps further away, and each event takes three
 * of them. */
struct cache {
    record_t *buckets[BUCKETS];
    size_t count;
    record_t *latest; /* the one of TABLE_PROCESSES found last: what is read is written next */
    record_t **fresh; /* new ones; NULL where one was dropped */
    size_t fresh_count, fresh_capacity, dropped_count;
};

static int compare(const record_t *left, const record_t *right)
{
    if (left->table != right->table)
        return left->table < right->table ? -1 : 1;
    size_t size = left->key_size < right->key_size ? left->key_size : right->key_size;
    int order = memcmp(left->key, right->key, size);
    return order ? order : (left->key_size > right->key_size) - (left->key_size < right->key_size);
}

cache_t *cache_new(void)
{
    return zmalloc(sizeof(cache_t));
}

static void purge(cache_t *self)
{
    for (size_t i = 0; i < BUCKETS && self->count; i++)
        while (self->buckets[i]) {
            record_t *record = self->buckets[i];
            self->buckets[i] = record->next;
            self->count--;
            free(record);
        }
    self->latest = NULL;
}

void cache_destroy(cache_t **self_p)
{
    cache_t *self = *self_p;
    if (!self)
        return;
    purge(self);
    free(self->fresh);
    free(self);
    *self_p = NULL;
}

bool cache_has_table(table_t table)
{
    return table == TABLE_HEADS || table == TABLE_PROCESSES;
}

static uint64_t hash_of(table_t table, const void *key, size_t size)
{
    return XXH3_64bits_withSeed(key, size, (uint64_t)table);
}

static record_t *find(cache_t *self, table_t table, const void *key, size_t size)
{
    record_t name = {.table = table, .key = key, .key_size = size};
    if (self->latest && !compare(self->latest, &name))
        return self->latest;
    name.hash = hash_of(table, key, size);
    record_t *found = self->buckets[name.hash % BUCKETS];
    while (found && (found->hash != name.hash || compare(found, &name)))
        found = found->next;
    if (found && table == TABLE_PROCESSES)
        self->latest = found;
    return found;
}

bool cache_get(cache_t *self, table_t table, const void *key, size_t size, msg_bytes_t *ret)
{
    const record_t *record = find(self, table, key, size);
    if (record)
        *ret = (msg_bytes_t){.data = record->value, .size = record->size};
    return record != NULL;
}

static void note_new(cache_t *self, record_t *record)
{
    if (record->place)
        return;
    if (self->fresh_count == self->fresh_capacity) {
        self->fresh_capacity = self->fresh_capacity ? self->fresh_capacity * 2 : 64;
        self->fresh = realloc(self->fresh, self->fresh_capacity * sizeof(record_t *));
        if (!self->fresh)
            abort();
    }
    self->fresh[self->fresh_count++] = record;
    record->place = self->fresh_count;
}

static record_t *add(cache_t *self, table_t table, const void *key, size_t size, size_t data_size)
{
    size_t capacity = (data_size / ROUND + 1) * ROUND;
    record_t *record = malloc(sizeof *record + capacity + size);
    if (!record)
        abort();
    *record = (record_t){
        .hash = hash_of(table, key, size), .table = table, .key_size = size, .capacity = capacity};
    record->key = memcpy(record->bytes, key, size);
    record->value = record->bytes + size;
    record_t **bucket = &self->buckets[record->hash % BUCKETS];
    record->next = *bucket;
    *bucket = record;
    self->count++;
    return record;
}

bool cache_put(cache_t *self, table_t table, const void *key, size_t size, const void *data,
               size_t data_size, bool is_new)
{
    record_t *record = find(self, table, key, size);
    if (record && (record->capacity < data_size || data_size > CACHE_VALUE_MAX)) {
        cache_drop(self, table, key, size);
        record = NULL;
    }
    if (data_size > CACHE_VALUE_MAX)
        return false;
    if (!record)
        record = add(self, table, key, size, data_size);
    record->size = data_size;
    if (data_size)
        memcpy(record->value, data, data_size);
    if (is_new)
        note_new(self, record);
    return true;
}

static void forget(cache_t *self, record_t *record)
{
    record_t **at = &self->buckets[record->hash % BUCKETS];
    while (*at != record)
        at = &(*at)->next;
    *at = record->next;
    self->count--;
    if (self->latest == record)
        self->latest = NULL;
    free(record);
}

bool cache_drop(cache_t *self, table_t table, const void *key, size_t size)
{
    record_t *record = find(self, table, key, size);
    bool was_new = record && record->place;
    if (was_new) {
        self->fresh[record->place - 1] = NULL;
        self->dropped_count++;
    }
    if (record)
        forget(self, record);
    return was_new;
}

void cache_doubt(cache_t *self, table_t table, const void *key, size_t size)
{
    record_t *record = find(self, table, key, size);
    if (record && !record->place)
        forget(self, record);
}

static int compare_new(const void *a, const void *b)
{
    return compare(*(record_t *const *)a, *(record_t *const *)b);
}

void cache_flush(cache_t *self, cache_write_t *write, void *arg)
{
    size_t count = 0;
    for (size_t i = 0; i < self->fresh_count; i++)
        if (self->fresh[i])
            self->fresh[count++] = self->fresh[i];
    if (count > 1)
        qsort(self->fresh, count, sizeof(record_t *), compare_new);
    self->fresh_count = self->dropped_count = 0;
    for (size_t i = 0; i < count; i++) {
        record_t *record = self->fresh[i];
        msg_bytes_t key = {.data = record->key, .size = record->key_size};
        msg_bytes_t value = {.data = record->value, .size = record->size};
        record->place = 0;
        write(arg, record->table, &key, &value);
    }
}

size_t cache_new_count(const cache_t *self)
{
    return self->fresh_count - self->dropped_count;
}

void cache_end(cache_t *self, bool is_committed)
{
    if (is_committed && self->count <= CACHE_RECORDS_MAX)
        return;
    self->fresh_count = self->dropped_count = 0;
    purge(self);
}
