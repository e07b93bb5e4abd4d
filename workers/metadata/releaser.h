/* Releases held events when their time has come, also those that an earlier process has held. */
#ifndef SHIMD_METADATA_RELEASER_H
#define SHIMD_METADATA_RELEASER_H

#include "workers/metadata/batch.h"

#include <czmq.h>

typedef struct releaser releaser_t;

/* Events of some runs have been released into the journal. */
typedef void releaser_told_t(void *arg);

/* All must outlive it. */
releaser_t *releaser_new(io_set_t *io, store_t *store, batch_t *batch, releaser_told_t *told,
                         void *arg);
void releaser_destroy(releaser_t **self);

#endif
