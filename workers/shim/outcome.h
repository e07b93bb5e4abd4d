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

#endif
