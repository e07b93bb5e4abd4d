/* Requests that wait until something that is under way with their task is over. */
#ifndef SHIMD_SHIM_PARK_H
#define SHIMD_SHIM_PARK_H

#include "common/io_set.h"
#include "common/worker.h"

typedef struct park park_t;

park_t *park_new(io_set_t *io);

/* Requests that are still in it stay unanswered. */
void park_destroy(park_t **self);

/* The request waits, but, of a method that has a usual deadline, no longer than in time for an
 * answer before its own: it is failed with `late`, which is copied, then. */
void park_add(park_t *self, request_t *request, const status_t *late);

/* From here on those whose time is over are failed with this, which is known better. */
void park_explain(park_t *self, const status_t *late);

/* The one that has waited longest, out of it; NULL when none does. */
request_t *park_take(park_t *self);

/* The same among those that are `wanted`. */
request_t *park_take_if(park_t *self, bool (*wanted)(const request_t *request));

#endif
