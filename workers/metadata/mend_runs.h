/* What was seen of the processes of runs that go on, made again from the journal where it is lost.
 */
#ifndef SHIMD_METADATA_MEND_RUNS_H
#define SHIMD_METADATA_MEND_RUNS_H

#include "workers/metadata/store.h"

/* Of each run that goes on and whose init has no record. Reads all of the journal if there is one.
 */
void mend_runs(txn_t *txn);

/* The same for a run whose record `key` of TABLE_PROCESSES is lost: init's, or an exec's. */
void mend_process(txn_t *txn, const store_key_t *key);

#endif
