/* Runs that came to nothing and of which the journal could not take that: told to it again until it
 * has it. What is still owed when the worker ends is found by its successor, as a run without a
 * bundle. */
#ifndef SHIMD_SHIM_UNENDED_H
#define SHIMD_SHIM_UNENDED_H

#include "workers/shim/manager.h"

#define UNENDED_FIRST_MS 500
#define UNENDED_LAST_MS  10000

/* Nothing of the task is left but its run in the journal. It keeps its name until that has ended,
 * in phase TASK_CLEANING, and goes then. `why` is logged. */
void unended_add(task_t *task, const status_t *why);

/* With its task. */
void unended_free(unended_t **self);

/* Tells the journal that it never came to be. */
void unended_ask(task_t *task, link_reply_t *reply, void *arg);

#endif
