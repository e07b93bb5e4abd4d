/* When records may go. */
#include "workers/metadata/expiry.h"

#include "workers/metadata/aside.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/requests.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define PREFIX_SIZE (sizeof(uint64_t) + 1) /* time and kind */

static store_key_t index_key(expiry_kind_t kind, const void *key, size_t size, int64_t when)
{
    store_key_t index;
    assert(PREFIX_SIZE + size <= sizeof index.bytes);
    uint64_t time = htobe64((uint64_t)when);
    memcpy(index.bytes, &time, sizeof time);
    index.bytes[sizeof time] = (uint8_t)kind;
    memcpy(index.bytes + PREFIX_SIZE, key, size);
    index.size = PREFIX_SIZE + size;
    return index;
}

/* The oldest entry if its time has come. */
static bool oldest(txn_t *txn, int64_t now, store_key_t *ret)
{
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_EXPIRY, NULL, 0);
    if (any) {
        uint64_t time = 0;
        if (scan.key.size < PREFIX_SIZE || scan.key.size > STORE_KEY_MAX) {
            txn_fail(txn, MDB_CORRUPTED);
            any = false;
        } else {
            memcpy(&time, scan.key.data, sizeof time);
            any = (int64_t)be64toh(time) < now;
            memcpy(ret->bytes, scan.key.data, scan.key.size);
            ret->size = scan.key.size;
        }
    }
    scan_close(&scan);
    return any;
}

/* Removes what the entry is about. False when more of it is left than one turn may remove. */
static bool remove_subject(txn_t *txn, const store_key_t *entry, int64_t now)
{
    store_key_t key = {.size = entry->size - PREFIX_SIZE};
    memcpy(key.bytes, entry->bytes + PREFIX_SIZE, key.size);
    switch ((expiry_kind_t)entry->bytes[PREFIX_SIZE - 1]) {
    case EXPIRY_REQUEST:
        txn_delete(txn, TABLE_REQUESTS, key.bytes, key.size);
        return true;
    case EXPIRY_PROCESS:
        incarnations_forget_exec(txn, &key, now);
        return true;
    case EXPIRY_RUN:
        return incarnations_forget(txn, &key, EXPIRY_PRUNE_MAX);
    case EXPIRY_ASIDE:
        aside_forget(txn, &key);
        return true;
    case EXPIRY_TARGET:
        requests_forget(txn, &key);
        return true;
    }
    return true;
}

/* True when it came to `most`. */
static bool prune(txn_t *txn, int64_t now, int most)
{
    store_key_t entry;
    int count = 0;
    for (; count < most && oldest(txn, now, &entry); count++)
        if (remove_subject(txn, &entry, now))
            txn_delete(txn, TABLE_EXPIRY, entry.bytes, entry.size);
    return count == most;
}

bool expiry_is_due(txn_t *txn, int64_t now)
{
    store_key_t entry;
    return oldest(txn, now, &entry);
}

bool expiry_sweep(txn_t *txn, int64_t now)
{
    return prune(txn, now, EXPIRY_SWEEP_MAX / EXPIRY_PRUNE_MAX);
}

void expiry_add(txn_t *txn, expiry_kind_t kind, const void *key, size_t size, int64_t when,
                int64_t now)
{
    store_key_t entry = index_key(kind, key, size, when);
    txn_put(txn, TABLE_EXPIRY, entry.bytes, entry.size, "", 0);
    prune(txn, now, EXPIRY_PRUNE_MAX);
}
