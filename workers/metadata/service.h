/* The methods of service METADATA: reads are answered at once, writes run in batches, and the
 * outcome of a mutating request is stored in the transaction of its effect. */
#ifndef SHIMD_METADATA_SERVICE_H
#define SHIMD_METADATA_SERVICE_H

#include "common/worker.h"
#include "workers/metadata/batch.h"
#include "workers/metadata/settings.h"
#include "workers/metadata/usage.h"

typedef struct service service_t;

/* Serves `worker` with its methods and is its journal. All but `settings` must outlive it. NULL
 * when the store cannot be read. */
service_t *service_new(worker_t *worker, store_t *store, batch_t *batch, const settings_t *settings,
                       const usage_t *usage, status_t *st);
void service_destroy(service_t **self);

/* Events came into the journal. Answers nothing from inside the call. */
void service_on_events(service_t *self);

/* Exit or delete events of that container (NULL: of any) came into the journal: an incarnation.end
 * that waits for them may go on. */
void service_on_task_event(service_t *self, const char *ns, const char *id);

/* Once the worker is ready: takes up what a predecessor left, logs that belong to no record and
 * containers that are to be removed. */
void service_begin(service_t *self);

#endif
