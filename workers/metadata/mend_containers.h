/* Container records, made again where they are lost and their specs are not. */
#ifndef SHIMD_METADATA_MEND_CONTAINERS_H
#define SHIMD_METADATA_MEND_CONTAINERS_H

#include "workers/metadata/store.h"

/* With image and runtime from the event of their making, without labels and restart policy. Where
 * the journal has no such event any more the record stays lost. Reads all of the journal if there
 * is one to be made. */
void mend_containers(txn_t *txn);

#endif
