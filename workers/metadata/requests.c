/* Outcomes of mutating requests. */
#include "workers/metadata/requests.h"

#include "workers/metadata/expiry.h"

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
                             .time = now};
    txn_put_message(txn, TABLE_REQUESTS, &key, MSG_outcome, &outcome);
    expiry_add(txn, EXPIRY_REQUEST, key.bytes, key.size, now + REQUESTS_KEEP_NS, now);
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
    return STATUS_OK;
}
