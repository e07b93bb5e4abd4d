/* Whether a request had its outcome before: from the bundle of its task where that knows, so that
 * the journal need not be asked for each. */
#ifndef SHIMD_SHIM_OUTCOME_H
#define SHIMD_SHIM_OUTCOME_H

#include "workers/shim/manager.h"

/* The worker's journal; `arg` is the manager. */
extern const worker_journal_t outcome_journal;

/* Answers with the outcome that the journal has of this request, or else fails it: the reason to
 * refuse it may be what the request itself did in the hands of a predecessor. */
void outcome_or_fail(manager_t *self, request_t *request, const status_t *st);

/* A kill that was answered already: it came off. */
bool outcome_is_answered(const manager_t *self, const request_t *request);

/* It has started, as far as can be known of one whose shim was lost. */
bool outcome_is_started(const process_t *process);

/* Before the process, or the task with all its processes, is forgotten: records that what made and
 * started it came off, where a predecessor may have died before it did, for one who sends it again.
 * An outcome that is recorded already stays. `done` is called once, at once when there is nothing
 * to record. */
void outcome_keep(const process_t *process, link_reply_t *done, void *arg);
void outcome_keep_all(const task_t *task, link_reply_t *done, void *arg);

/* The same for the kills that a predecessor answered and may not have recorded, as soon as its task
 * is known again. */
void outcome_resume(const task_t *task);

/* What is known by now of the starts of its processes is all that will be: they are to be killed.
 */
void outcome_fix(task_t *task);

#endif
