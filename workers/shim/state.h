/* What the shims say of the state their processes are in. */
#ifndef SHIMD_SHIM_STATE_H
#define SHIMD_SHIM_STATE_H

#include "workers/shim/manager.h"

/* Called once, from the loop. `process` is NULL when it is gone meanwhile; otherwise with OK it is
 * up to date. NOT_FOUND: the shim does not know it. */
typedef void state_told_t(void *arg, const status_t *st, process_t *process);

/* Asks the shim, which the task must have. An exit that it tells is recorded. */
void state_ask(process_t *process, int timeout_ms, state_told_t *told, void *arg);

/* The same where nobody waits for the answer. Does nothing while an earlier one is under way. */
void state_refresh(process_t *process);

#endif
