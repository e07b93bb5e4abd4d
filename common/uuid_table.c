/* czmq hash tables keyed by the 16 bytes of a msg_uuid_t. */
#include "common/uuid_table.h"

#include "common/message.h"

#include <string.h>

/* Clients choose ids, so a part of the id itself would let one of them put all its requests into
 * one bucket; FNV-1a with a per-process seed costs nothing here. */
static size_t seed;

static size_t hash_uuid(const void *key)
{
    const uint8_t *bytes = key;
    size_t hash = seed ^ 1469598103934665603u;
    for (size_t i = 0; i < MSG_UUID_SIZE; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static int compare_uuid(const void *a, const void *b)
{
    return memcmp(a, b, MSG_UUID_SIZE);
}

zhashx_t *uuid_table_new(void)
{
    if (!seed) {
        msg_uuid_t random;
        msg_uuid_new(&random);
        memcpy(&seed, random.bytes, sizeof seed);
        seed |= 1;
    }
    zhashx_t *table = zhashx_new();
    zhashx_set_key_hasher(table, hash_uuid);
    zhashx_set_key_comparator(table, compare_uuid);
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    return table;
}
