/* What was seen of the processes of runs that go on, made again from the journal where it is lost.
 */
#ifndef SHIMD_METADATA_MEND_RUNS_H
#define SHIMD_METADATA_MEND_RUNS_H

#include "workers/metadata/store.h"

/* Of each run that goes on and whose init has no record, or of which a record is among those that
 * are lost: `count` of any tables. Reads all of the journal, once, if there is one. */
void mend_runs(txn_t *txn, const store_lost_t *lost, size_t count);

/* The same for a run whose record `key` of TABLE_PROCESSES is lost: init's, or an exec's. */
void mend_process(txn_t *txn, const store_key_t *key);

#endif
