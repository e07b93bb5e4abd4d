/* The connections to shims are with the keeper, whichever one there is. */
#ifndef SHIMD_SHIM_KEEPING_H
#define SHIMD_SHIM_KEEPING_H

#include "workers/shim/manager.h"

void keeping_start(manager_t *self);
void keeping_stop(manager_t *self);

#endif
