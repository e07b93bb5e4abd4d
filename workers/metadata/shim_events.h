/* Where shims hand over their events: containerd's ttrpc service
 * containerd.services.events.ttrpc.v1.Events, method Forward. */
#ifndef SHIMD_METADATA_SHIM_EVENTS_H
#define SHIMD_METADATA_SHIM_EVENTS_H

#include "common/cluster.h"
#include "common/io_set.h"
#include "workers/metadata/intake.h"

typedef struct shim_events shim_events_t;

/* Serves the listening socket that the supervisor passed down, or else one made here at the
 * cluster's place (0600). Each Forward is acknowledged once its event is in the journal. One that
 * can never be journalled is logged and acknowledged too: a shim that is refused sends it again,
 * and its later events overtake it. All arguments must outlive it; NULL with a status when there is
 * no socket. */
shim_events_t *shim_events_new(io_set_t *io, const cluster_t *cluster, intake_t *intake,
                               status_t *st);

/* What is not acknowledged is sent again by its shim. */
void shim_events_destroy(shim_events_t **self);

#endif
