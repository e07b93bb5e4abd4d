/* Two processes that keep each other: a writer and its guard. Whoever of them is killed, the other
 * forks its successor, because a container whose output nobody reads is killed by SIGPIPE: after
 * the start its shim holds only the writing ends of the pipes. Both hold the reading ends. */
#ifndef SHIMD_GUARD_H
#define SHIMD_GUARD_H

#include <stdbool.h>

#define GUARD_PAUSE_MS 100 /* before a killed writer gets a successor */

/* Makes the caller a guard, and returns in its child, which is to write. The guard stays inside:
 * it ends when its child has exited with 0, and forks another one after any other end.
 * `after_death` tells that one: memory is as it was when this function was called. Returns a
 * descriptor that polls readable once the guard is dead, or -1 when there is no guard because no
 * process could be made. */
int guard_enter(bool *after_death);

#endif
