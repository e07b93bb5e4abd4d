/* Numbers that are counted up: an event needs two of them, and a batch has many events. */
#include "workers/metadata/store_internal.h"

#include <assert.h>
#include <string.h>

static void write_one(txn_t *self, txn_counter_t *counter)
{
    if (counter->is_new)
        txn_put(self, TABLE_NS_SEQ, counter->name, strlen(counter->name), &counter->number,
                sizeof counter->number);
    counter->is_new = false;
}

void txn_write_numbers(txn_t *self)
{
    for (size_t i = 0; i < self->counter_count; i++)
        write_one(self, &self->counters[i]);
}

/* A place for another name; the others make room in turn. */
static txn_counter_t *place(txn_t *self)
{
    if (self->counter_count < TXN_NUMBERS_MAX)
        return &self->counters[self->counter_count++];
    txn_counter_t *counter = &self->counters[self->counter_next++ % TXN_NUMBERS_MAX];
    write_one(self, counter);
    return counter;
}

static txn_counter_t *find(txn_t *self, const char *name)
{
    msg_bytes_t stored;
    size_t size = strlen(name);
    assert(size <= TXN_NAME_MAX);
    for (size_t i = 0; i < self->counter_count; i++)
        if (!strcmp(self->counters[i].name, name))
            return &self->counters[i];
    txn_counter_t *counter = place(self);
    memcpy(counter->name, name, size + 1);
    counter->number = 0;
    if (txn_get(self, TABLE_NS_SEQ, name, size, &stored) && stored.size == sizeof counter->number)
        memcpy(&counter->number, stored.data, sizeof counter->number);
    return counter;
}

uint64_t txn_next(txn_t *self, const char *name)
{
    txn_counter_t *counter = find(self, name);
    counter->is_new = true;
    return ++counter->number;
}

uint64_t txn_number(txn_t *self, const char *name)
{
    return find(self, name)->number;
}
