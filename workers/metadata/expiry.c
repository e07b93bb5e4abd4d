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

/* The oldest entry at `from` or behind it. */
static bool first_from(txn_t *txn, const store_key_t *from, store_key_t *ret)
{
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_EXPIRY, from->size ? from->bytes : NULL, from->size);
    if (any && (scan.key.size < PREFIX_SIZE || scan.key.size >= STORE_KEY_MAX)) {
        txn_fail(txn, MDB_CORRUPTED);
        any = false;
    }
    if (any) {
        memcpy(ret->bytes, scan.key.data, scan.key.size);
        ret->size = scan.key.size;
    }
    scan_close(&scan);
    return any;
}

static int64_t time_of(const store_key_t *entry)
{
    uint64_t time;
    memcpy(&time, entry->bytes, sizeof time);
    return (int64_t)be64toh(time);
}

static expiry_kind_t kind_of(const store_key_t *entry)
{
    return (expiry_kind_t)entry->bytes[PREFIX_SIZE - 1];
}

/* The oldest entry if its time has come. */
static bool oldest(txn_t *txn, int64_t now, store_key_t *ret)
{
    return first_from(txn, &(store_key_t){.size = 0}, ret) && time_of(ret) < now;
}

/* Removes what the entry is about. False when more of it is left than one turn may remove. */
static bool remove_subject(txn_t *txn, const store_key_t *entry, int64_t now)
{
    store_key_t key = {.size = entry->size - PREFIX_SIZE};
    memcpy(key.bytes, entry->bytes + PREFIX_SIZE, key.size);
    switch (kind_of(entry)) {
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

bool expiry_hasten(txn_t *txn, unsigned kinds, size_t most, size_t budget, store_key_t *at)
{
    store_key_t entry;
    for (; budget && most; budget--) {
        if (!first_from(txn, at, &entry)) {
            at->size = 0;
            return false;
        }
        bool is_kind = kind_of(&entry) <= EXPIRY_TARGET && kinds & 1u << kind_of(&entry);
        bool is_over = is_kind && remove_subject(txn, &entry, time_of(&entry));
        if (is_over)
            txn_delete(txn, TABLE_EXPIRY, entry.bytes, entry.size);
        *at = entry;
        if (is_over || !is_kind)
            at->bytes[at->size++] = '\0'; /* the least key behind it */
        most -= is_over;
    }
    return true;
}

void expiry_add(txn_t *txn, expiry_kind_t kind, const void *key, size_t size, int64_t when,
                int64_t now)
{
    store_key_t entry = index_key(kind, key, size, when);
    txn_put(txn, TABLE_EXPIRY, entry.bytes, entry.size, "", 0);
    prune(txn, now, EXPIRY_PRUNE_MAX);
}
