/* The connections to shims are with the keeper, whichever one there is. */
#ifndef SHIMD_SHIM_KEEPING_H
#define SHIMD_SHIM_KEEPING_H

#include "workers/shim/manager.h"

void keeping_start(manager_t *self);

/* That shim has a new connection. */
void keeping_new(manager_t *self, shim_t *shim);

void keeping_stop(manager_t *self);

#endif
