/* Descriptors that a process hands over, and that stay open for a while when it dies. A shim whose
 * client closes its connection cancels what that client asked for, in the middle of an OCI
 * runtime's work; so the shim worker's connections outlive it until that is done. They are kept by
 * a process that outlives the supervisor as well (keeper_process.h). */
#ifndef SHIMD_KEEPER_H
#define SHIMD_KEEPER_H

#include "common/io_set.h"

#include <jansson.h>

typedef struct keeper keeper_t;

/* `executable` is the supervisor's own; borrowed. A process that dies gets a successor, which has
 * the same channels and says so on each. */
keeper_t *keeper_new(io_set_t *io, const char *executable);

/* Ends the process, and with it lets everything go. */
void keeper_destroy(keeper_t **self);

/* The process's end of a fresh channel, close-on-exec, which the caller closes after the spawn; -1
 * with errno when it cannot be made. Starts the keeper's process when there is none; where that
 * fails, which is logged, nothing is kept until it is tried again. Descriptors come by
 * common/keep.h. */
int keeper_open(keeper_t *self);

/* The process, for a successor of the supervisor in the same process. */
json_t *keeper_save(const keeper_t *self);
void keeper_restore(keeper_t *self, const json_t *state);

/* Leaves the process alone: it has been saved. */
void keeper_forget(keeper_t *self);

#endif
