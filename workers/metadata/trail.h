/* The events about each container, linked backwards: each has the sequence number of the one before
 * as `prev`. So the trail is kept exactly as long as the events are, and needs one number for each
 * container beside them: in TABLE_TRAILS, and while the container has a run in the record of that.
 * A number, or a `prev`, that was lost with damage and made again may be that of a later event,
 * about something else: the right one is the newest before it that names the container.
 */
#ifndef SHIMD_METADATA_TRAIL_H
#define SHIMD_METADATA_TRAIL_H

#include "workers/metadata/call.h"

#define TRAIL_SWEEP_MAX 2 /* numbers looked at for each that is added */

/* Events looked at in one request for those before lost ones, or for the newest: it goes on from
 * there with the next one. */
#define TRAIL_SEARCH_MAX 10000
#define TRAIL_NEWEST_MAX 1000 /* the same in a write transaction, which may look for several */

/* Event `seq` is about container `id`. Returns that of the event before, 0 for none. A number whose
 * event the journal no longer has is removed by and by: each new container pays for looking at
 * two. */
uint64_t trail_add(txn_t *txn, const char *ns, const char *id, uint64_t seq);

/* The same while a run goes on: its record, which is written anyway, has the number in `newest`. */
uint64_t trail_add_to(txn_t *txn, const char *ns, const char *id, uint64_t seq, uint64_t *newest);

/* The run is over that has had the number. */
void trail_keep(txn_t *txn, const char *ns, const char *id, uint64_t seq);

/* Of the newest event about the container, or a later one after damage; 0 for none. */
uint64_t trail_newest(txn_t *txn, const char *ns, const char *id);

/* The newest event that names the container. When it is none of TRAIL_NEWEST_MAX that are looked
 * at, a later one, from which event.about goes on looking; 0 when the journal has none. */
uint64_t trail_search(txn_t *txn, const char *ns, const char *id);

/* The number under that key of TABLE_TRAILS was lost: it is looked for. */
void trail_mend(txn_t *txn, const store_key_t *key);

/* event.about */
call_run_t trail_about;

#endif
