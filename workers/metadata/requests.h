/* Outcomes of mutating requests by their ids, so that an id runs once. */
#ifndef SHIMD_METADATA_REQUESTS_H
#define SHIMD_METADATA_REQUESTS_H

#include "workers/metadata/call.h"

#define REQUESTS_KEEP_NS ((int64_t)24 * 3600 * 1000000000) /* at least; an id may come again */

/* The outcome of an earlier request with that id, in `zone`. */
bool requests_find(txn_t *txn, const msg_uuid_t *id, msgpack_zone *zone, msg_outcome_t *ret);

/* Keeps an outcome, and tells the task it is about what happened to it. The first one of an id
 * stays: it is what was answered. */
void requests_keep(txn_t *txn, const msg_request_record_t *record, int64_t now);

/* For expiry.c: removes the request that an entry of TABLE_TARGETS tells of, and the entry. */
void requests_forget(txn_t *txn, const store_key_t *target);

/* request.get, request.list, request.record */
call_run_t requests_get;
call_run_t requests_list; /* requests_list.c */
call_run_t requests_record;

#endif
