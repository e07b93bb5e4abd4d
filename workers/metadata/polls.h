/* event.fetch: pages for subscribers, and requests that wait for events to come. */
#ifndef SHIMD_METADATA_POLLS_H
#define SHIMD_METADATA_POLLS_H

#include "common/worker.h"
#include "workers/metadata/batch.h"

/* While events come in faster, those that wait in vain are looked at so often. */
#define POLLS_LOOK_MS 5

/* A request that waits is answered so long before its deadline. */
#define POLLS_MARGIN_MS 500

#define POLLS_EXPIRE_MS 3600000 /* how often abandoned subscribers are looked for */

/* Of each subscriber that was read or made in this life of the process: how far it was read, and
 * the one request that waits for it, if any. So there are never more requests waiting than
 * subscribers, and a client that vanishes leaves one at most, until its time is over. */
typedef struct polls polls_t;

/* `idle_ns` is how long a subscriber may go unused before it is forgotten; 0 for ever. */
polls_t *polls_new(io_set_t *io, store_t *store, batch_t *batch, int64_t idle_ns, status_t *st);

/* Requests that wait are not answered. */
void polls_destroy(polls_t **self);

/* Answers the event.fetch, now or when there is something to tell. A request that waits for the
 * same subscriber is answered ABORTED before. */
void polls_fetch(polls_t *self, request_t *request, const char *ns, const msg_event_fetch_t *ask);

/* Events came into the journal. Whoever waits for them is answered from the loop. */
void polls_on_events(polls_t *self);

/* The greatest sequence number that this subscriber may acknowledge: what it was given in this life
 * of the process, or may have been given in an earlier one. `space` as subscribers_space has it. */
uint64_t polls_delivered(const polls_t *self, const char *space, const char *name);

/* A subscriber was made, and one was forgotten: a request that waits is NOT_FOUND. */
void polls_on_begin(polls_t *self, const msg_subscriber_t *subscriber);
void polls_on_end(polls_t *self, const char *space, const char *name);

size_t polls_waiting(const polls_t *self);

#endif
