/* Outcomes of mutating requests. */
#include "workers/metadata/requests.h"

#include "workers/metadata/evidence.h"
#include "workers/metadata/expiry.h"
#include "workers/metadata/restarts.h"

#include <assert.h>
#include <endian.h>
#include <string.h>
#include <uuid/uuid.h>

static store_key_t key_of(const msg_uuid_t *id)
{
    store_key_t key = {.size = sizeof id->bytes};
    memcpy(key.bytes, id->bytes, sizeof id->bytes);
    return key;
}

bool requests_find(txn_t *txn, const msg_uuid_t *id, msgpack_zone *zone, msg_outcome_t *ret)
{
    store_key_t key = key_of(id);
    return txn_get_message(txn, TABLE_REQUESTS, &key, MSG_outcome, zone, ret);
}

/* So that what was asked about a container can be listed in order of time. */
static store_key_t target_of(const msg_request_record_t *record, int64_t now)
{
    store_key_t key = STORE_KEY(record->ns ? record->ns : "", record->target, "");
    uint64_t time = htobe64((uint64_t)now);
    assert(key.size + sizeof time + MSG_UUID_SIZE <= sizeof key.bytes);
    memcpy(key.bytes + key.size, &time, sizeof time);
    memcpy(key.bytes + key.size + sizeof time, record->id.bytes, MSG_UUID_SIZE);
    key.size += sizeof time + MSG_UUID_SIZE;
    return key;
}

static void keep_until(txn_t *txn, const msg_request_record_t *record, const store_key_t *key,
                       int64_t now)
{
    int64_t when = now + REQUESTS_KEEP_NS;
    if (!record->target) {
        expiry_add(txn, EXPIRY_REQUEST, key->bytes, key->size, when, now);
        return;
    }
    store_key_t target = target_of(record, now);
    txn_put(txn, TABLE_TARGETS, target.bytes, target.size, "", 0);
    expiry_add(txn, EXPIRY_TARGET, target.bytes, target.size, when, now);
}

void requests_forget(txn_t *txn, const store_key_t *target)
{
    if (target->size > MSG_UUID_SIZE)
        txn_delete(txn, TABLE_REQUESTS, target->bytes + target->size - MSG_UUID_SIZE,
                   MSG_UUID_SIZE);
    txn_delete(txn, TABLE_TARGETS, target->bytes, target->size);
}

void requests_keep(txn_t *txn, const msg_request_record_t *record, int64_t now)
{
    msg_bytes_t earlier;
    store_key_t key = key_of(&record->id);
    if (txn_get(txn, TABLE_REQUESTS, key.bytes, key.size, &earlier))
        return;
    msg_outcome_t outcome = {.id = record->id,
                             .method = record->method,
                             .ns = record->ns,
                             .state = "done",
                             .status = record->status,
                             .message = record->message,
                             .answer = record->answer,
                             .peer = record->peer,
                             .target = record->target,
                             .exec_id = record->exec_id,
                             .time = now,
                             .asked_at = record->asked_at,
                             .asked = record->asked};
    txn_put_message(txn, TABLE_REQUESTS, &key, MSG_outcome, &outcome);
    keep_until(txn, record, &key, now);
    evidence_of_request(txn, record, now);
}

status_code_t requests_get(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_request_get_t *ask = call->ask;
    if (requests_find(txn, &ask->id, call->zone, call->answer))
        return STATUS_OK;
    char text[UUID_STR_LEN];
    uuid_unparse_lower(ask->id.bytes, text);
    return status_set(st, STATUS_NOT_FOUND, "request %s: not found", text);
}

status_code_t requests_record(txn_t *txn, const call_t *call, status_t *st)
{
    (void)st;
    requests_keep(txn, call->ask, call->now);
    restarts_on_stop(txn, call, call->ask);
    return STATUS_OK;
}
