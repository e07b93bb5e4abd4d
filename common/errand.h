/* Work on files that may hang for ever, in a child that nobody waits for. */
#ifndef SHIMD_ERRAND_H
#define SHIMD_ERRAND_H

#include "common/io_set.h"
#include "common/status.h"

#define ERRANDS_MAX 32 /* children of a process at once; those that hang past their time count */

/* Runs in a child, which has no descriptor but the standard three, and memory of its own. What it
 * changes there is lost; a descriptor that it returns is handed to `errand_done_t`. -1 for none. */
typedef int errand_work_t(const void *arg, status_t *st);

/* Called once, from errand_begin or from the loop: with what the child said, DEADLINE_EXCEEDED when
 * it took too long and is killed, if it can be, or RESOURCE_EXHAUSTED when there are too many. `fd`
 * is the callee's. */
typedef void errand_done_t(void *arg, const status_t *st, int fd);

/* The child dies with this process, unless it hangs. */
void errand_begin(io_set_t *io, int64_t timeout_ms, errand_work_t *work, errand_done_t *done,
                  void *arg);

#endif
