/* A long operation as a plan: named steps, each asked for and later reported done, each with the
 * undo that takes back what it made. The plan runs forward; after a failure the undos run
 * backwards. */
#ifndef SHIMD_SHIM_OP_H
#define SHIMD_SHIM_OP_H

#include "common/status.h"

#include <stddef.h>

typedef struct op op_t;

/* Begins a step or its undo. It must end in exactly one op_done, at once or later. */
typedef void op_action_t(op_t *op);

typedef struct op_step {
    const char *name;
    op_action_t *ask;
    op_action_t *undo; /* NULL when there is nothing to take back */
} op_step_t;

/* Embed as the first member of the operation's own struct. */
struct op {
    const char *name;      /* "create": of all operations with this plan */
    const op_step_t *plan; /* ends with a step without name */
    size_t step;
    bool undoing;
    status_t failure; /* why it is undone */
    /* Called once when all is done (st OK) or undone (st the failure). May free the operation. */
    void (*finished)(op_t *op, const status_t *st);
    char label[256]; /* for the log: "create default/c1" */
};

/* Runs the first step. */
void op_start(op_t *op);

/* Ends the present step or undo. A failed step is undone too when its outcome is uncertain
 * (status_is_uncertain): it may have happened. A failed undo is logged and passed by: what may be
 * done later instead, the undo itself sees to. */
void op_done(op_t *op, const status_t *st);
void op_ok(op_t *op);

#endif
