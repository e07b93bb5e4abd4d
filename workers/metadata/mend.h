/* What is done about damaged records: they go, what can be derived from others is made again, lost
 * events leave a mark in their place, and the journal tells of it. */
#ifndef SHIMD_METADATA_MEND_H
#define SHIMD_METADATA_MEND_H

#include "workers/metadata/mend_walk.h"

/* Namespace and topics of what the journal tells of the store itself. */
#define MEND_NS             "shimd"
#define MEND_TOPIC_EVENT    "/shimd/event-lost"     /* in the place of the event */
#define MEND_TOPIC_RECORD   "/shimd/record-lost"    /* another record */
#define MEND_TOPIC_SALVAGED "/shimd/store-salvaged" /* the store was made anew */

/* Removes damaged records, unless that was done meanwhile, and makes what is derived again, once
 * for all of them. What takes the journal for it is left to a walk over that, which is returned, if
 * there is any. One that is there and cannot be removed fails the transaction as the damaged
 * structure that it shows. */
mend_walk_t *mend_records(txn_t *txn, const store_lost_t *lost, size_t count);

/* Makes what is derived from other records again where it is missing: newest runs, what was
 * seen of those that go on, container records, deadlines of held events, times of exits, counters
 * of namespaces. */
void mend_derived(txn_t *txn);

/* Puts a mark where the journal has no such event any more. */
void mend_event(txn_t *txn, uint64_t seq);

/* Puts marks where the journal has no event from `first` (or its own first) to `last`, at most
 * `count`. Returns where to go on. Events that are no newer than what was trimmed are not missed:
 * they may have gone with it. */
uint64_t mend_gaps(txn_t *txn, uint64_t first, uint64_t last, size_t count);

void mend_tell_salvaged(txn_t *txn, const char *why, uint64_t records, uint64_t damaged,
                        const char *aside);

#endif
