/* Events of shims that did not get into the journal: repeats, and what contradicts it. Kept for a
 * while as evidence, under sequence numbers of their own. */
#ifndef SHIMD_METADATA_ASIDE_H
#define SHIMD_METADATA_ASIDE_H

#include "workers/metadata/journal.h"

#define ASIDE_MAX     10000 /* the oldest go first */
#define ASIDE_KEEP_NS ((int64_t)24 * 3600 * 1000000000)

/* `event->reason` says why. */
void aside_add(txn_t *txn, const journal_event_t *event, int64_t now);

/* For expiry.c. */
void aside_forget(txn_t *txn, const store_key_t *seq);

#endif
