/* The deadline of an exec: at it the process gets SIGKILL, and once its exit is recorded the exec
 * is deleted. It stands in the exec's record, so that whoever comes after a worker's death keeps
 * it. */
#ifndef SHIMD_SHIM_EXEC_DEADLINE_H
#define SHIMD_SHIM_EXEC_DEADLINE_H

#include "common/io_timer.h"
#include "common/status.h"

struct process;
struct task;

/* A member of each process; that of init is never begun. */
typedef struct exec_deadline {
    int64_t allowed_ms; /* from its start on; 0 for ever */
    int64_t at;         /* util_monotonic_us, which all of a boot share; 0 before the start */
    bool is_over;       /* it is or was killed for it: then it is deleted however it has ended */
    bool is_told;       /* a failure was logged */
    bool is_killing;    /* a Kill is with the shim */
    int64_t again_ms;   /* before the next try; 0 before the first */
    io_timer_t timer;   /* exec_deadline_tick */
} exec_deadline_t;

/* The time runs from now on; the caller writes the exec's record. */
void exec_deadline_begin(struct process *process);

/* The process did not come to run. */
void exec_deadline_drop(struct process *process);

/* Sees to it from here on, at once when it is past; what was begun is gone on with. Does nothing
 * without a deadline, or when the process had ended before it. */
void exec_deadline_resume(struct process *process);
void exec_deadline_resume_all(struct task *task);

/* The exec was deleted, or could not be (`process` is not NULL): tried again then. */
void exec_deadline_deleted(struct process *process, const status_t *st);

void exec_deadline_tick(void *process); /* timer: the next that is to be done */

#endif
