/* Processes that were orphaned below the supervisor, which as child subreaper is their parent then:
 * shims, and containers whose shim died. How they ended is kept for whoever asks. */
#ifndef SHIMD_REAPER_H
#define SHIMD_REAPER_H

#include "common/worker.h"

#include <jansson.h>

#define REAPER_KEPT_MAX    4096  /* ends that are remembered; the oldest are forgotten */
#define REAPER_WAITERS_MAX 16384 /* cluster.reaped requests that wait */

typedef struct reaper reaper_t;

reaper_t *reaper_new(void);
void reaper_destroy(reaper_t **self);

/* Reaps a child that has ended and is not one of the supervisor's own processes. */
void reaper_reap(reaper_t *self, pid_t pid);

/* The ends that are remembered, for a successor in the same process. Who waits asks it again. */
json_t *reaper_save(const reaper_t *self);
void reaper_restore(reaper_t *self, const json_t *state);

/* A worker_handler_t's work for cluster.reaped, and a worker_forget_t's. */
void reaper_ask(reaper_t *self, request_t *request, const msg_cluster_reaped_t *ask);
bool reaper_forget(reaper_t *self, const request_t *request);

#endif
