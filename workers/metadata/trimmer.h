/* Removes what is kept for a while only, in small pieces between the batches: events of the journal
 * and records beyond what is to be kept, and records whose time is over. */
#ifndef SHIMD_METADATA_TRIMMER_H
#define SHIMD_METADATA_TRIMMER_H

#include "workers/metadata/batch.h"
#include "workers/metadata/retention.h"

typedef struct trimmer trimmer_t;

/* All must outlive it. */
trimmer_t *trimmer_new(io_set_t *io, store_t *store, batch_t *batch, const retention_t *retention);
void trimmer_destroy(trimmer_t **self);

#endif
