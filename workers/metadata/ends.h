/* incarnation.end requests that wait for the last events of their shim. */
#ifndef SHIMD_METADATA_ENDS_H
#define SHIMD_METADATA_ENDS_H

#include "common/worker.h"
#include "workers/metadata/store.h"

/* How long a shim's own exit and delete events are waited for. They come within milliseconds, or a
 * second later when one was refused at first. */
#define ENDS_WAIT_MS 1500

typedef struct ends ends_t;

/* The request's turn has come: its events are there, or it has waited long enough. */
typedef void ends_go_t(void *arg, request_t *request, const char *ns, const void *ask);

ends_t *ends_new(io_set_t *io, store_t *store, ends_go_t *go, void *arg);
void ends_destroy(ends_t **self);

/* Keeps the request, and calls `go` with it later, from the loop or from ends_on_task_event. False
 * when it need not wait. */
bool ends_park(ends_t *self, request_t *request, const char *ns, const msg_incarnation_end_t *ask);

/* Events of that container (NULL: of any) came into the journal. */
void ends_on_task_event(ends_t *self, const char *ns, const char *id);

#endif
