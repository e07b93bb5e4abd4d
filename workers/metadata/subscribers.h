/* Named readers of the journal: what they read, and what they have acknowledged. */
#ifndef SHIMD_METADATA_SUBSCRIBERS_H
#define SHIMD_METADATA_SUBSCRIBERS_H

#include "workers/metadata/call.h"

#define SUBSCRIBERS_MAX          256  /* in all namespaces together */
#define SUBSCRIBERS_FILTER_BYTES 8192 /* of one's filters together */

/* One that is read from without anything being acknowledged is noted as used so often. */
#define SUBSCRIBERS_TOUCH_NS ((int64_t)3600 * 1000000000)

/* event.subscribe, event.ack, event.subscribers, event.unsubscribe */
call_check_t subscribers_check;
call_run_t subscribers_subscribe, subscribers_ack, subscribers_list, subscribers_unsubscribe;

/* The namespace that a subscriber's name is looked up in: "" for one that reads all. NULL with
 * INVALID_ARGUMENT when there is neither `ns` nor `all`. */
const char *subscribers_space(const char *ns, bool all, const char *method, status_t *st);

/* False with NOT_FOUND when there is none. What `ret` points to lies in the zone. */
bool subscribers_get(txn_t *txn, const char *space, const char *name, msgpack_zone *zone,
                     msg_subscriber_t *ret, status_t *st);

/* A page of what the subscriber reads, from after `after` or what it has acknowledged on, whichever
 * is later; in the zone. */
status_code_t subscribers_page(txn_t *txn, const msg_subscriber_t *subscriber, uint64_t after,
                               uint32_t limit, msgpack_zone *zone, msg_event_page_t *ret,
                               status_t *st);

/* Notes that the subscriber is in use. Does nothing when there is none. */
void subscribers_touch(txn_t *txn, const char *space, const char *name, int64_t now);

/* Forgets those that were last used before `oldest`. Returns how many. */
size_t subscribers_expire(txn_t *txn, int64_t oldest);

#endif
