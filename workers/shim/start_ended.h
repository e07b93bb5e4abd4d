/* Starts of execs whose shim was lost before it told their pid. */
#ifndef SHIMD_SHIM_START_ENDED_H
#define SHIMD_SHIM_START_ENDED_H

#include "workers/shim/manager.h"

/* The exit record shows that the exec, to whose shim a Start was sent at `sent_at`, has run since.
 * An earlier one is of another use of its exec id. */
bool start_ended_is_proof(const msg_exited_t *exited, int64_t sent_at);

/* Ends the task.start that sent, or whose predecessor sent, that Start and does not know what came
 * of it: it is answered with the process that the exec's exit record tells of, or else fails. */
void start_ended(const process_t *exec, request_t *request, const status_t *failure);

#endif
