/* Stored forms of an incarnation. */
#include "workers/metadata/process_record.h"

#include <string.h>

#define HEAD_VERSION    1
#define PROCESS_VERSION 1

const head_record_t *head_record_of(const msg_bytes_t *stored)
{
    bool is_one = stored->size == sizeof(head_record_t) && stored->data[0] == HEAD_VERSION;
    return is_one ? (const head_record_t *)(const void *)stored->data : NULL;
}

bool head_record_get(txn_t *txn, const char *ns, const char *id, head_record_t *ret)
{
    store_key_t key = STORE_KEY(ns, id);
    msg_bytes_t found;
    memset(ret, 0, sizeof *ret);
    if (!txn_get(txn, TABLE_HEADS, key.bytes, key.size, &found))
        return false;
    const head_record_t *record = head_record_of(&found);
    if (!record) {
        txn_fail(txn, MDB_CORRUPTED);
        return false;
    }
    memcpy(ret, record, sizeof *ret);
    return true;
}

void head_record_put(txn_t *txn, const char *ns, const char *id, head_record_t *record)
{
    store_key_t key = STORE_KEY(ns, id);
    record->version = HEAD_VERSION;
    txn_put(txn, TABLE_HEADS, key.bytes, key.size, record, sizeof *record);
}

bool process_record_get(txn_t *txn, const store_key_t *key, process_record_t *ret)
{
    msg_bytes_t found;
    memset(ret, 0, sizeof *ret);
    if (!txn_get(txn, TABLE_PROCESSES, key->bytes, key->size, &found))
        return false;
    if (found.size == sizeof *ret)
        memcpy(ret, found.data, sizeof *ret);
    if (ret->version == PROCESS_VERSION)
        return true;
    txn_fail(txn, MDB_CORRUPTED);
    return false;
}

void process_record_put(txn_t *txn, const store_key_t *key, process_record_t *record)
{
    record->version = PROCESS_VERSION;
    txn_put(txn, TABLE_PROCESSES, key->bytes, key->size, record, sizeof *record);
}

bool process_record_has_recent(const process_record_t *self, unsigned kind, int64_t time)
{
    for (size_t i = 0; i < PROCESS_RECENT; i++)
        if (self->recent_times[i] == time && self->recent_kinds[i] == kind)
            return true;
    return false;
}

void process_record_add_recent(process_record_t *self, unsigned kind, int64_t time)
{
    self->recent_times[self->recent_next] = time;
    self->recent_kinds[self->recent_next] = (uint8_t)kind;
    self->recent_next = (uint8_t)((self->recent_next + 1) % PROCESS_RECENT);
}
