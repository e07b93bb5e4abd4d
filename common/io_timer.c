/* Timers of an io_set: a list in order of time, which the loop asks for its first. */
#include "common/io_timer.h"

#include "common/io_set_internal.h"
#include "common/util.h"

#define US_PER_MS 1000

/* Handlers may do anything to the queue, so it is looked at anew after each. What they set for now
 * comes with the next turn: others' turn then. */
void io_timers_fire(struct io_timer_queue *timers)
{
    io_timer_t *first = TAILQ_FIRST(timers);
    if (!first)
        return;
    int64_t now = util_monotonic_us();
    for (; first && first->when <= now; first = TAILQ_FIRST(timers)) {
        TAILQ_REMOVE(timers, first, link);
        first->is_set = false;
        first->handler(first->arg);
    }
}

void io_timer_init(io_timer_t *self, io_timer_handler_t *handler, void *arg)
{
    *self = (io_timer_t){.handler = handler, .arg = arg};
}

void io_timer_stop(io_set_t *io, io_timer_t *self)
{
    if (!self->is_set)
        return;
    TAILQ_REMOVE(io_set_timers(io), self, link);
    self->is_set = false;
}

/* Most timers of a process have about the same length, so their place is near the end. */
void io_timer_at(io_set_t *io, io_timer_t *self, int64_t when)
{
    struct io_timer_queue *timers = io_set_timers(io);
    io_timer_stop(io, self);
    if (when == INT64_MAX)
        return;
    int64_t soonest = util_monotonic_us() + 1; /* behind those that are due in this turn */
    self->when = when > soonest ? when : soonest;
    self->is_set = true;
    io_timer_t *before = TAILQ_LAST(timers, io_timer_queue);
    while (before && before->when > self->when)
        before = TAILQ_PREV(before, io_timer_queue, link);
    if (before) {
        TAILQ_INSERT_AFTER(timers, before, self, link);
    } else {
        TAILQ_INSERT_HEAD(timers, self, link);
        io_set_wake(io);
    }
}

void io_timer_in(io_set_t *io, io_timer_t *self, int64_t ms)
{
    io_timer_at(io, self, util_monotonic_us() + ms * US_PER_MS);
}

void io_timer_advance(io_set_t *io, io_timer_t *self, int64_t when)
{
    if (!self->is_set || when < self->when)
        io_timer_at(io, self, when);
}
