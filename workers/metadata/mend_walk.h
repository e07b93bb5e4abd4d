/* The journal, read from its beginning for what is lost and can be made again from its events, in
 * pieces of any size: a journal of a million events takes seconds, in which others want answers. */
#ifndef SHIMD_METADATA_MEND_WALK_H
#define SHIMD_METADATA_MEND_WALK_H

#include "workers/metadata/store.h"

typedef struct mend_walk mend_walk_t;

/* For the runs of these lost records and those without init's, and, `has_containers`, container
 * records. NULL when there is nothing to be made again. */
mend_walk_t *mend_walk_new(txn_t *txn, const store_lost_t *lost, size_t count, bool has_containers);

/* For the run whose record under that key of TABLE_PROCESSES is lost. */
mend_walk_t *mend_walk_of_run(txn_t *txn, const store_key_t *key);
void mend_walk_destroy(mend_walk_t **self);

/* Reads at most `count` more events. False at the end of the journal. */
bool mend_walk_read(mend_walk_t *self, txn_t *txn, size_t count);

/* Reads what is left, writes what is missing still, and destroys. NULL is nothing. */
void mend_walk_finish(mend_walk_t **self, txn_t *txn);

#endif
