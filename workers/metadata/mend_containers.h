/* Container records, made again where they are lost and their specs are not: found, read of each
 * event, and put back (mend_walk.h). */
#ifndef SHIMD_METADATA_MEND_CONTAINERS_H
#define SHIMD_METADATA_MEND_CONTAINERS_H

#include "workers/metadata/store.h"

#include <czmq.h>

zhashx_t *mend_containers_find(txn_t *txn);
void mend_containers_read(zhashx_t *self, const msgpack_object *event);

/* Writes those that are still lost, with image and runtime from the event of their making, without
 * labels and restart policy. Where the journal has no such event any more the record stays lost. */
void mend_containers_put(zhashx_t *self, txn_t *txn);

#endif
