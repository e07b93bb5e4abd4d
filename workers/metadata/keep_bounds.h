/* How many outcomes of requests and exit records are kept at most: what is kept for a while only
 * (expiry.h) goes before its time when there is too much of it, the oldest first. */
#ifndef SHIMD_METADATA_KEEP_BOUNDS_H
#define SHIMD_METADATA_KEEP_BOUNDS_H

#include "workers/metadata/expiry.h"
#include "workers/metadata/retention.h"

/* Where the last walks for either have come to; all zero at first. */
typedef struct keep_bounds {
    store_key_t requests, exits;
} keep_bounds_t;

bool keep_bounds_is_due(txn_t *txn, const retention_t *retention);

/* Removes some, looking at `budget` entries for either at most. The exit records of a task that has
 * not ended stay, however many. True when there may be more to do at once. */
bool keep_bounds_trim(keep_bounds_t *self, txn_t *txn, const retention_t *retention, size_t budget);

#endif
