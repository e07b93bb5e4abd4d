/* Containers that the cluster removes: with their task, when a run of them has ended. One that is
 * held is left to the process that made it as long as that lives: it may want the rest of the
 * output first, and removes by itself. What is to be removed stands in the container's record, so
 * that a successor goes on with it. */
#ifndef SHIMD_METADATA_REMOVALS_H
#define SHIMD_METADATA_REMOVALS_H

#include "common/link.h"
#include "workers/metadata/batch.h"

typedef struct removals removals_t;

/* Called after a record was removed here. */
typedef void removals_done_t(void *arg, const char *ns, const char *id);

typedef struct removals_tools {
    io_set_t *io;
    link_t *link; /* tasks are deleted with requests, as a client would */
    store_t *store;
    batch_t *batch;
    const char *run_dir; /* of the cluster: where its bundles and fifos are */
    removals_done_t *done;
    void *arg;
} removals_tools_t;

/* All of `tools` must outlive it; the link must not be served after it. */
removals_t *removals_new(const removals_tools_t *tools);
void removals_destroy(removals_t **self);

/* Takes up what a predecessor left. False, with a status, when the store cannot be read. */
bool removals_begin(removals_t *self, status_t *st);

/* A record was made; most are not to be removed. */
void removals_add(removals_t *self, const msg_container_t *record);

/* A record was removed by a client. */
void removals_forget(removals_t *self, const char *ns, const char *id);

/* The init process of a container has ended, or its run has. */
void removals_on_end(removals_t *self, const char *ns, const char *id);

#endif
