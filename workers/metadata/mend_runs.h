/* What was seen of the processes of runs that go on, made again from the journal where it is lost:
 * found, read of each event, and put back (mend_walk.h). */
#ifndef SHIMD_METADATA_MEND_RUNS_H
#define SHIMD_METADATA_MEND_RUNS_H

#include "workers/metadata/store.h"

#include <czmq.h>

/* Each run that goes on and whose init has no record, or of which a record is among those that are
 * lost: `count` of any tables. */
zhashx_t *mend_runs_find(txn_t *txn, const store_lost_t *lost, size_t count);

/* The run whose record `key` of TABLE_PROCESSES is lost: init's, or an exec's; none if it is over.
 */
zhashx_t *mend_runs_find_one(txn_t *txn, const store_key_t *key);

void mend_runs_read(zhashx_t *self, const msgpack_object *event);

/* Writes what is still missing of those that still go on, once. `oldest`: when the journal's oldest
 * event was written, ns since the epoch. */
void mend_runs_put(zhashx_t *self, txn_t *txn, int64_t oldest);

#endif
