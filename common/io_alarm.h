/* A one-shot timer that is a descriptor of an io_set. Unlike a zloop timer, which czmq 4.2.1 may
 * still fire in the pass in which it was ended, it never calls after it was stopped or destroyed;
 * and a thousand of them cost the loop nothing. */
#ifndef SHIMD_IO_ALARM_H
#define SHIMD_IO_ALARM_H

#include "common/io_set.h"
#include "common/status.h"

typedef struct io_alarm io_alarm_t;

/* Called from the loop, once for each time that was set. May set the alarm again or destroy it. */
typedef void io_alarm_handler_t(void *arg);

/* A stopped alarm; `io` must outlive it. NULL with RESOURCE_EXHAUSTED when there is no descriptor
 * left. */
io_alarm_t *io_alarm_new(io_set_t *io, io_alarm_handler_t *handler, void *arg, status_t *st);
void io_alarm_destroy(io_alarm_t **self);

/* Fires at `when` (util_monotonic_us), at once when that is past. _set replaces the time that was
 * set before; _advance does so only when `when` is earlier. INT64_MAX is never. */
void io_alarm_set(io_alarm_t *self, int64_t when);
void io_alarm_advance(io_alarm_t *self, int64_t when);
void io_alarm_stop(io_alarm_t *self);

#endif
