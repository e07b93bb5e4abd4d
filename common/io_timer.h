/* One-shot timers of an io_set, as many as you like. Unlike a zloop timer, which
 * czmq 4.2.1 may still fire in the pass in which another timer's handler ended it, one of these is
 * never called after it was stopped; and starting one cannot fail. */
#ifndef SHIMD_IO_TIMER_H
#define SHIMD_IO_TIMER_H

#include "common/io_set.h"

#include <stdbool.h>
#include <sys/queue.h>

/* Called from the loop, once for each time that was set; the timer is stopped before. May set it
 * again, free it, and start or stop any other. */
typedef void io_timer_handler_t(void *arg);

/* A member of whatever it belongs to. Must be stopped before its memory goes. */
typedef struct io_timer {
    io_timer_handler_t *handler;
    void *arg;
    int64_t when; /* util_monotonic_us; valid while it is set */
    bool is_set;
    TAILQ_ENTRY(io_timer) link;
} io_timer_t;

/* A stopped timer. */
void io_timer_init(io_timer_t *self, io_timer_handler_t *handler, void *arg);

/* Fires at `when` (util_monotonic_us), from the loop and as soon as it can when that is past,
 * instead of at the time that was set before. _advance does so only when `when` is earlier. _in
 * takes milliseconds from now. INT64_MAX is never. */
void io_timer_at(io_set_t *io, io_timer_t *self, int64_t when);
void io_timer_in(io_set_t *io, io_timer_t *self, int64_t ms);
void io_timer_advance(io_set_t *io, io_timer_t *self, int64_t when);

/* Does nothing to one that is stopped. */
void io_timer_stop(io_set_t *io, io_timer_t *self);

#endif
