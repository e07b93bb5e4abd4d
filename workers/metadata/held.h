/* Events that are held: stored until their predecessor comes, or their time. */
#ifndef SHIMD_METADATA_HELD_H
#define SHIMD_METADATA_HELD_H

#include "workers/metadata/journal.h"
#include "workers/metadata/order.h"

#define HELD_EVENT_MAX (16u << 10) /* bytes of an event's fields; a larger one is not held */

/* Stores one of `run` (key of NS, ID, INCARNATION). Its payload is a journal_event_t, or NULL. */
void held_put(txn_t *txn, const store_key_t *run, const order_item_t *item);

/* The one with the lowest number above `after`, without its payload. */
bool held_next(txn_t *txn, const store_key_t *run, uint64_t after, order_item_t *ret);

/* Removes it. Its payload is then in `zone`, without namespace, origin and incarnation. */
void held_take(txn_t *txn, const store_key_t *run, order_item_t *item, msgpack_zone *zone);

size_t held_count(txn_t *txn);

/* The one whose time comes first: its deadline, and run and number. False when none is held. */
bool held_first_due(txn_t *txn, int64_t *ret_deadline, store_key_t *ret_run, uint64_t *ret_number);

/* Takes away an entry of the index by time that leads to nothing. */
void held_drop_due(txn_t *txn, int64_t deadline, const store_key_t *run, uint64_t number);

/* Enters all that are held into the index by time again. */
void held_reindex(txn_t *txn);

#endif
