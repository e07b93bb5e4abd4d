/* Stored forms of an incarnation. */
#include "workers/metadata/process_record.h"

#include <stddef.h>
#include <string.h>

#define HEAD_VERSION    2
#define PROCESS_VERSION 3

/* Version 2 had no `newest`. */
#define PROCESS_VERSION_2 2
#define SIZE_2_MAX        (sizeof(process_record_t) - sizeof(uint64_t))

_Static_assert(sizeof(process_record_t) % sizeof(uint64_t) == 0, "it ends with a whole number");
_Static_assert(offsetof(process_record_t, state.is_open) % sizeof(uint64_t) == 0, "so does that");

bool head_record_of(const msg_bytes_t *stored, head_record_t *ret)
{
    if (stored->size != sizeof *ret || stored->data[0] != HEAD_VERSION)
        return false;
    memcpy(ret, stored->data, sizeof *ret); /* LMDB does not align */
    return true;
}

bool head_record_get(txn_t *txn, const char *ns, const char *id, head_record_t *ret)
{
    store_key_t key = STORE_KEY(ns, id);
    return head_record_at(txn, &key, ret);
}

bool head_record_at(txn_t *txn, const store_key_t *key, head_record_t *ret)
{
    msg_bytes_t found;
    memset(ret, 0, sizeof *ret);
    if (!txn_get(txn, TABLE_HEADS, key->bytes, key->size, &found))
        return false;
    if (head_record_of(&found, ret))
        return true;
    txn_fail(txn, MDB_CORRUPTED);
    return false;
}

void head_record_put(txn_t *txn, const char *ns, const char *id, head_record_t *record)
{
    store_key_t key = STORE_KEY(ns, id);
    record->version = HEAD_VERSION;
    txn_put(txn, TABLE_HEADS, key.bytes, key.size, record, sizeof *record);
}

static void convert_2(const msg_bytes_t *stored, process_record_t *ret)
{
    size_t head = offsetof(process_record_t, newest);
    memset(ret, 0, sizeof *ret);
    memcpy(ret, stored->data, stored->size < head ? stored->size : head);
    if (stored->size > head)
        memcpy(&ret->state, stored->data + head, stored->size - head);
    ret->version = PROCESS_VERSION;
}

bool process_record_of(const msg_bytes_t *stored, process_record_t *ret)
{
    if (stored->size > sizeof *ret) {
        memset(ret, 0, sizeof *ret);
        return false;
    }
    memcpy(ret, stored->data, stored->size);
    memset((uint8_t *)ret + stored->size, 0, sizeof *ret - stored->size);
    if (ret->version == PROCESS_VERSION_2 && stored->size <= SIZE_2_MAX)
        convert_2(stored, ret);
    return ret->version == PROCESS_VERSION;
}

bool process_record_get(txn_t *txn, const store_key_t *key, process_record_t *ret)
{
    msg_bytes_t found;
    if (!txn_get(txn, TABLE_PROCESSES, key->bytes, key->size, &found)) {
        memset(ret, 0, sizeof *ret);
        return false;
    }
    if (process_record_of(&found, ret))
        return true;
    txn_fail(txn, MDB_CORRUPTED);
    return false;
}

/* In steps of eight: most of it is zero in most records. What a life without execs and pauses
 * changes is always there, so that the record stays where it is in its page. */
static size_t used_size(const process_record_t *record)
{
    static const uint64_t zero;
    size_t size = sizeof *record;
    while (size > offsetof(process_record_t, state.is_open) &&
           !memcmp((const uint8_t *)record + size - sizeof zero, &zero, sizeof zero))
        size -= sizeof zero;
    return size;
}

void process_record_put(txn_t *txn, const store_key_t *key, process_record_t *record)
{
    record->version = PROCESS_VERSION;
    txn_put(txn, TABLE_PROCESSES, key->bytes, key->size, record, used_size(record));
}
