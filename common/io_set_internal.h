/* What io_set.c and io_timer.c share. */
#ifndef SHIMD_IO_SET_INTERNAL_H
#define SHIMD_IO_SET_INTERNAL_H

#include "common/io_set.h"

typedef struct io_timers io_timers_t;

/* Made with the set, so that starting a timer cannot fail for want of a descriptor. Timers that are
 * still set when the set goes are forgotten. */
io_timers_t *io_timers_new(io_set_t *io);
void io_timers_destroy(io_timers_t **self);

io_timers_t *io_set_timers(io_set_t *self);

#endif
