/* Routing: requests of clients and workers to the workers that answer them, and the answers back.
 * Every request that came in is answered, by its worker or by the router itself. */
#ifndef SHIMD_BROKER_ROUTER_H
#define SHIMD_BROKER_ROUTER_H

#include "common/message.h"

#include "common/io_set.h"

typedef struct router router_t;

#define ROUTER_JOBS_MAX 65536 /* requests without an answer, all services together */
#define ROUTER_DEADLINE_MAX_MS                                                                     \
    ((int64_t)365 * 24 * 3600 * 1000) /* a later one counts as this far away */
#define ROUTER_HANG_MS 10000          /* a worker silent for this long is replaced */
#define ROUTER_LATE_MS 1000 /* a look that comes so late says that the broker was held up */

/* `clients` and `workers` are bound ROUTER sockets, which stay the caller's. */
router_t *router_new(io_set_t *io, void *clients, void *workers);
void router_destroy(router_t **self);

/* For broker.status: events the fan-out has passed on. */
void router_set_event_counter(router_t *self, const uint64_t *events);

#endif
