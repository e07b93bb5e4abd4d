/* Work on bundles, one at a time for each bundle, with the slow parts in short-lived children: an
 * unmounting that hangs holds up its own request and those for the same bundle, nothing else. */
#ifndef SHIMD_BUNDLE_JOB_H
#define SHIMD_BUNDLE_JOB_H

#include "common/io_set.h"
#include "common/status.h"

typedef struct bundle_jobs bundle_jobs_t;

#define BUNDLE_JOB_CHILDREN_MAX 32  /* at once; those that hang past their deadline count */
#define BUNDLE_JOB_JOBS_MAX     512 /* waiting or running; one more is RESOURCE_EXHAUSTED */

typedef enum bundle_job_next {
    BUNDLE_JOB_DONE,  /* `st` is the outcome */
    BUNDLE_JOB_CHILD, /* the rest goes into a child */
} bundle_job_next_t;

typedef struct bundle_job_ops {
    /* Runs in this process when the job's turn comes, and must be quick. */
    bundle_job_next_t (*here)(void *arg, status_t *st);
    /* Runs in a child, which may block and never returns to the loop: no request, socket or loop
     * may be touched, and memory it changes is its own. NULL when `here` never asks for it. */
    status_code_t (*child)(void *arg, status_t *st);
    /* Called exactly once, from bundle_jobs_add or from the loop. After it `arg` is not used any
     * more in this process. `st` is NULL when the jobs are destroyed first: nobody knows the
     * outcome. May add jobs. */
    void (*done)(void *arg, const status_t *st);
} bundle_job_ops_t;

/* Both must outlive the jobs. Children close all descriptors but standard ones and the `keep_count`
 * in `keep`, at most BUNDLE_JOB_KEEP_MAX. */
#define BUNDLE_JOB_KEEP_MAX 4
bundle_jobs_t *bundle_jobs_new(io_set_t *io, const int *keep, size_t keep_count);

/* Children that run are killed, and not waited for. */
void bundle_jobs_destroy(bundle_jobs_t **self);

/* Adds a job, which runs at once when it can: jobs of equal `key` run one after another, in order.
 * `what` ("delete bundle x") begins the sentences of its failures. `deadline` is in milliseconds
 * since the epoch; when it passes the outcome is DEADLINE_EXCEEDED, the child is killed, and the
 * key stays taken until it has really ended. `ops` must outlive the job. */
void bundle_jobs_add(bundle_jobs_t *self, const char *key, const char *what, int64_t deadline,
                     const bundle_job_ops_t *ops, void *arg);

/* Jobs that wait or run, and children. */
size_t bundle_jobs_count(const bundle_jobs_t *self);
size_t bundle_jobs_children(const bundle_jobs_t *self);

#endif
