/* The events about each container, linked backwards: each has the sequence number of the one before
 * as `prev`. So the trail is kept exactly as long as the events are, and needs one number for each
 * container beside them. */
#ifndef SHIMD_METADATA_TRAIL_H
#define SHIMD_METADATA_TRAIL_H

#include "workers/metadata/call.h"

#define TRAIL_SWEEP_MAX  2     /* numbers looked at for each that is added */
#define TRAIL_SEARCH_MAX 10000 /* events looked at for the one before a lost one */

/* Event `seq` is about container `id`. Returns that of the event before, 0 for none. A number whose
 * event the journal no longer has is removed by and by: each new container pays for looking at
 * two. */
uint64_t trail_add(txn_t *txn, const char *ns, const char *id, uint64_t seq);

/* event.about */
call_run_t trail_about;

#endif
