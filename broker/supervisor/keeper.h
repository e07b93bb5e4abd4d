/* Descriptors that a process hands over, and that stay open for a while when it dies. A shim whose
 * client closes its connection cancels what that client asked for, in the middle of an OCI
 * runtime's work; so the shim worker's connections outlive it until that is done. Nobody reads from
 * them. */
#ifndef SHIMD_KEEPER_H
#define SHIMD_KEEPER_H

#include "common/io_set.h"

#include <jansson.h>

#define KEEPER_MAX      8192  /* descriptors; more are not kept */
#define KEEPER_AFTER_MS 60000 /* from the death of whoever handed one over to its closing */

typedef struct keeper keeper_t;

keeper_t *keeper_new(io_set_t *io);
void keeper_destroy(keeper_t **self);

/* The process's end of a fresh channel, close-on-exec, which the caller closes after the spawn; -1
 * with errno when it cannot be made. Descriptors come by common/keep.h. */
int keeper_open(keeper_t *self);

/* Everything that is kept, for a successor in the same process, whose keeper must be empty. */
json_t *keeper_save(const keeper_t *self);
void keeper_restore(keeper_t *self, const json_t *state);

/* Lets everything go without closing it: it has been saved. */
void keeper_forget(keeper_t *self);

/* How many are kept. */
size_t keeper_count(const keeper_t *self);

#endif
