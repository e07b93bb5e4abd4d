/* What the store takes and keeps: metadata.status. */
#ifndef SHIMD_METADATA_USAGE_H
#define SHIMD_METADATA_USAGE_H

#include "workers/metadata/call.h"
#include "workers/metadata/mender.h"
#include "workers/metadata/retention.h"

/* What is told besides the store's own contents. */
typedef struct usage {
    store_t *store;
    const mender_t *mender;
    const retention_t *retention;
} usage_t;

call_run_t usage_tell;

#endif
