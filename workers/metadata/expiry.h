/* When records may go: an index by time of everything that is kept for a while only. Each new entry
 * pays for a few old ones, so that removal keeps pace and no request waits for a sweep. */
#ifndef SHIMD_METADATA_EXPIRY_H
#define SHIMD_METADATA_EXPIRY_H

#include "workers/metadata/store.h"

#define EXPIRY_PRUNE_MAX 4 /* records removed for each that is added */

typedef enum expiry_kind {
    EXPIRY_REQUEST = 1, /* key of TABLE_REQUESTS */
    EXPIRY_PROCESS = 2, /* key of TABLE_PROCESSES, of an exec */
    EXPIRY_RUN = 3,     /* key of TABLE_PROCESSES, of an init process: its whole incarnation */
    EXPIRY_ASIDE = 4,   /* key of TABLE_ASIDE */
    EXPIRY_TARGET = 5,  /* key of TABLE_TARGETS, with the request it tells of */
} expiry_kind_t;

/* The record may go at `when`. Removes a few whose time is before `now`. Both in nanoseconds since
 * the epoch. */
void expiry_add(txn_t *txn, expiry_kind_t kind, const void *key, size_t size, int64_t when,
                int64_t now);

/* For times in which nothing is added. Sweep removes at most EXPIRY_SWEEP_MAX records; true when
 * there may be more. */
#define EXPIRY_SWEEP_MAX 256
bool expiry_is_due(txn_t *txn, int64_t now);
bool expiry_sweep(txn_t *txn, int64_t now);

/* Removes up to `most` records of these kinds (a bit each: 1 << kind) before their time, the oldest
 * first. Looks at `budget` entries at most, from `at` on, and leaves there where to go on; its size
 * is 0 at the beginning, and again at the end. False when it came to the end. */
bool expiry_hasten(txn_t *txn, unsigned kinds, size_t most, size_t budget, store_key_t *at);

#endif
