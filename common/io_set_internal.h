/* What io_set.c, io_timer.c and io_zmq.c share. */
#ifndef SHIMD_IO_SET_INTERNAL_H
#define SHIMD_IO_SET_INTERNAL_H

#include "common/io_set.h"
#include "common/io_timer.h"
#include "common/io_zmq.h"

/* Soonest first. Timers that are still set when the set goes are forgotten. */
TAILQ_HEAD(io_timer_queue, io_timer);
struct io_timer_queue *io_set_timers(io_set_t *self);
void io_timers_fire(struct io_timer_queue *timers);

/* Sockets that have to be looked at before the loop may sleep, and the one that is looked at just
 * now. */
TAILQ_HEAD(io_zmq_queue, io_zmq);
typedef struct io_zmqs {
    struct io_zmq_queue queue;
    io_zmq_t *current;
} io_zmqs_t;
io_zmqs_t *io_set_zmqs(io_set_t *self);
void io_zmqs_serve(io_zmqs_t *self);

/* To be called when there is a first timer or a socket to be looked at, sooner than was known. */
void io_set_wake(io_set_t *self);

#endif
