/* How long the journal keeps its events: so many of them, and none older than that, for all
 * namespaces together but for those with limits of their own, each of which is counted by itself;
 * and fewer where they are large.
 * What goes is remembered in marks, so that readers can be told.
 *
 * Nothing but readers needs an event that is in the journal: what orders the events to come is in
 * tables of its own. Nobody holds retention up either, whatever he has not read yet. */
#ifndef SHIMD_METADATA_RETENTION_H
#define SHIMD_METADATA_RETENTION_H

#include "workers/metadata/store.h"

#define RETENTION_NAMESPACES_MAX 64 /* with limits of their own */

/* One piece: events that are looked at in one transaction. Twice what was appended since the last
 * one, within these, so that trimming keeps pace and no batch waits for long. */
#define RETENTION_PIECE_MIN 256
#define RETENTION_PIECE_MAX 4096

typedef struct retention_limits {
    int max_age; /* seconds */
    int max_events;
} retention_limits_t;

typedef struct retention_rule {
    char ns[77];
    retention_limits_t limits;
} retention_rule_t;

typedef struct retention {
    retention_limits_t rest; /* of all namespaces without a rule, together */
    int max_size;            /* MiB that the journal's pages take; beyond, the rest's oldest go */
    int max_requests;        /* outcomes of requests, of all namespaces: keep_bounds.h */
    int max_exits;           /* exit records likewise */
    size_t count;
    retention_rule_t rules[RETENTION_NAMESPACES_MAX];
} retention_t;

/* The defaults, with what the section `journal` of `config` says instead. INVALID_ARGUMENT names
 * the key. */
status_code_t retention_read(retention_t *self, const char *config, status_t *st);

/* True when a piece of work is to be done. `now` in ns since the epoch. */
bool retention_is_due(txn_t *txn, const retention_t *self, int64_t now);

/* Does it: removes events, looking at about `budget` at most. The journal's newest event always
 * stays. True when there may be more to do. */
bool retention_trim(txn_t *txn, const retention_t *self, int64_t now, size_t budget);

/* What was removed of a namespace's events; of all when `ns` is NULL. */
typedef struct retention_gone {
    uint64_t seq; /* the newest; 0 when nothing was: all after it is there */
    int64_t time; /* ns since the epoch: the greatest of them */
} retention_gone_t;
retention_gone_t retention_gone(txn_t *txn, const char *ns);

#endif
