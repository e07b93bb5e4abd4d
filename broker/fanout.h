/* Events from publishers to subscribers, and subscriptions the other way. */
#ifndef SHIMD_BROKER_FANOUT_H
#define SHIMD_BROKER_FANOUT_H

#include "common/io_set.h"

typedef struct fanout fanout_t;

/* `publish` (XSUB) and `events` (XPUB) are bound and stay the caller's. */
fanout_t *fanout_new(io_set_t *io, void *publish, void *events);
void fanout_destroy(fanout_t **self);

/* Messages passed on so far; the pointer lives as long as the fan-out. */
const uint64_t *fanout_count(const fanout_t *self);

#endif
