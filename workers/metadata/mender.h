/* Mends what reads have found damaged, in the batches of the other writes. */
#ifndef SHIMD_METADATA_MENDER_H
#define SHIMD_METADATA_MENDER_H

#include "workers/metadata/batch.h"

typedef struct mender mender_t;

/* Events that are read in one turn of the loop for what is made again from the journal. */
#define MENDER_PIECE 5000

/* Mends what the opening of the store has found, and then looks from time to time. Both must
 * outlive it. */
mender_t *mender_new(io_set_t *io, store_t *store, batch_t *batch);
void mender_destroy(mender_t **self);

uint64_t mender_count(const mender_t *self); /* records that were lost since the start */

#endif
