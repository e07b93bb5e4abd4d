/* Deleted bundles whose directories are still there, hidden, because something in them could not be
 * unmounted or removed: clean-up debt. It is tried again until it is gone, is listed meanwhile, and
 * is found again in the directories by a worker that starts. Each is a job of its own, so that one
 * that hangs delays no other. */
#ifndef SHIMD_BUNDLE_DEBT_H
#define SHIMD_BUNDLE_DEBT_H

#include "workers/bundle/bundle_job.h"
#include "workers/bundle/bundle_store.h"

typedef struct bundle_debts bundle_debts_t;

#define BUNDLE_DEBT_MAX        1024       /* known at once; more are found by later sweeps */
#define BUNDLE_DEBT_AT_ONCE    16         /* tried again at once; half of BUNDLE_JOB_CHILDREN_MAX */
#define BUNDLE_DEBT_PATIENCE   5000       /* ms that a delete waits for its first try */
#define BUNDLE_DEBT_TRY_MS     60000      /* after which a try is stopped */
#define BUNDLE_DEBT_PAUSE_MS   1000       /* between two tries, doubled after each ... */
#define BUNDLE_DEBT_PAUSE_MAX  60000      /* ... up to this */
#define BUNDLE_DEBT_LIST_BYTES (1u << 20) /* of text that is listed; what is beyond is left out */

/* All three must outlive it; but the jobs must be destroyed first, because they call back. */
bundle_debts_t *bundle_debts_new(const bundle_store_t *store, bundle_jobs_t *jobs, io_set_t *io);
void bundle_debts_destroy(bundle_debts_t **self);

/* Unmounts and removes what bundle_remove_hide has just hidden, at once when that is quick. Calls
 * `done` exactly once, from here or from the loop, with OK: when it is gone, when the first try has
 * failed and it is debt, or when that takes longer than BUNDLE_DEBT_PATIENCE or half of what is
 * left until `deadline` (milliseconds since the epoch, 0 for none). With NULL when the jobs are
 * destroyed first. */
typedef void bundle_debts_done_t(void *arg, const status_t *st);
void bundle_debts_clear(bundle_debts_t *self, const char *ns, const char *hidden, int64_t deadline,
                        bundle_debts_done_t *done, void *arg);

/* Looks for left-overs (bundle_sweep_run, whose conditions hold) and begins to remove them. When
 * there are too many or the directories cannot be read it is done again by itself. _sweep_soon does
 * it from the loop. */
status_code_t bundle_debts_sweep(bundle_debts_t *self, status_t *st);
void bundle_debts_sweep_soon(bundle_debts_t *self);

/* Tries at once what waits for its next try: whoever asks may have seen to what was in its way. */
void bundle_debts_retry(bundle_debts_t *self);

/* What could not be removed so far, in order of namespace and id; `debts` lives in `zone`. */
void bundle_debts_list(bundle_debts_t *self, msgpack_zone *zone, msg_bundles_t *ret);

#endif
