/* Whether a shim is in the middle of something that a predecessor asked for. */
#ifndef SHIMD_SHIM_IN_FLIGHT_H
#define SHIMD_SHIM_IN_FLIGHT_H

#include "workers/shim/task.h"

/* True while the task's shim has a child, an OCI runtime, that starts this process: its arguments
 * name the process's pid file (an exec), or the verb and the container (init). Reads /proc. */
bool in_flight_start(const process_t *process);

#endif
