/* Copies bytes from one descriptor to another through the loop, without ever blocking it: not even
 * on a standard output that other programs share and that must therefore stay blocking. */
#ifndef SHIMD_PUMP_H
#define SHIMD_PUMP_H

#include <czmq.h>

typedef struct pump pump_t;

/* Called from the loop: once when the source has ended and everything is written, and once before
 * that when the target takes no more. May destroy the pump in the first case. */
typedef void pump_end_t(void *arg);

/* Copies from `from` to `to`, which stay the caller's and must stay open until the end or until the
 * pump is destroyed. When `to` takes no more (its reader is gone), the rest is read and thrown away
 * so that the writer at the other end is not held up. */
pump_t *pump_new(zloop_t *loop, int from, int to, pump_end_t *on_end, void *arg);
void pump_destroy(pump_t **self);

bool pump_has_ended(const pump_t *self);

/* True while bytes were read that are not written yet. */
bool pump_is_holding(const pump_t *self);

/* Why `to` takes no more (EPIPE, ENOSPC, ...); 0 while it does. */
int pump_error(const pump_t *self);

/* util_monotonic_us() of the last byte that moved, or of the start. */
int64_t pump_moved_at(const pump_t *self);

#endif
