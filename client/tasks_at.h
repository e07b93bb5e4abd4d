/* The tasks as they were at a moment of the past. */
#ifndef SHIMD_TASKS_AT_H
#define SHIMD_TASKS_AT_H

#include "client/session.h"

typedef struct task_at {
    char *ns, *id;
    char *incarnation;
    uint32_t pid;       /* 0 when it is not known */
    const char *status; /* as a task has it; static */
} task_at_t;

typedef struct tasks_at tasks_at_t;

/* `when` is a sequence number of the journal, for the tasks just after that event, or a time as
 * arguments_moment takes it. Those of the session's namespace.
 *
 * It is read backwards from the present: a task that has had no event since is as it is now, and
 * the first event since tells how any other was. So the journal need reach back to that moment
 * only; OUT_OF_RANGE when it does not, or when it has not come so far yet. It is read in pages, so
 * that nobody else waits. */
tasks_at_t *tasks_at_new(session_t *session, const char *when, status_t *st);
void tasks_at_destroy(tasks_at_t **self);

/* In order of id; NULL behind the last. */
const task_at_t *tasks_at_row(const tasks_at_t *self, size_t index);

#endif
