/* Removing logs whose container record is gone.
 *
 * ROOT/log/NS/ID/CREATED belongs to the record of that container that was made at that time. Only
 * the metadata worker knows whether it is still there, so it is asked; whoever deleted it and
 * however often this is started, the outcome is the same. */
#ifndef SHIMD_BUNDLE_LOG_SWEEP_H
#define SHIMD_BUNDLE_LOG_SWEEP_H

#include "common/link.h"
#include "workers/bundle/bundle_job.h"
#include "workers/bundle/bundle_store.h"

/* Called once, from the loop. `st` is the first failure, or NULL when the jobs were destroyed
 * first. */
typedef void log_sweep_done_t(void *arg, const status_t *st);

/* Sweeps the logs of one container, or of all when `id` is NULL, one after another, removing in
 * children of `jobs`. Both texts are copied; link, jobs and store must outlive the sweep. A
 * container that cannot be asked about keeps its logs, and ends the sweep with a failure. */
void log_sweep_start(link_t *link, bundle_jobs_t *jobs, const bundle_store_t *store, const char *ns,
                     const char *id, log_sweep_done_t *done, void *arg);

#endif
