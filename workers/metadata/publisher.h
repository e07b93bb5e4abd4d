/* The event stream: what is in the journal goes out to the broker, which fans it out. */
#ifndef SHIMD_METADATA_PUBLISHER_H
#define SHIMD_METADATA_PUBLISHER_H

#include "workers/metadata/store.h"

#include "common/io_set.h"

/* Messages that wait for a broker that is away or slow, per broker; more are dropped. A subscriber
 * sees the gap in `seq`, at the latest in the next `.sync`, and asks event.list for what is
 * missing.
 */
#define PUBLISHER_HIGH_WATER 4096

#define PUBLISHER_SYNC_KEY ".sync" /* no namespace starts with a dot */

typedef struct publisher publisher_t;

/* Publishes to `endpoint`; connecting goes on in the background. `last` is the journal's newest
 * sequence number. NULL with a status when the socket cannot be made. */
publisher_t *publisher_new(io_set_t *io, const char *endpoint, uint64_t last, status_t *st);
void publisher_destroy(publisher_t **self);

/* A batch_publish_t: sends [key][event] each, in order. Never waits. Every event of the journal
 * must pass here: `.sync` counts them. */
void publisher_send(void *self, news_t *news);

#endif
