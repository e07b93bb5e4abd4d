/* Stored forms of an incarnation: which one a container's newest is, and what was seen of each of
 * its processes. Fixed structs in the machine's byte order, as LMDB's own pages are. */
#ifndef SHIMD_METADATA_PROCESS_RECORD_H
#define SHIMD_METADATA_PROCESS_RECORD_H

#include "common/util.h"
#include "workers/metadata/store.h"

/* Value of TABLE_HEADS. */
typedef struct head_record {
    uint8_t version;
    uint8_t live;                     /* it has a task, or is about to */
    char incarnation[UTIL_UUID_SIZE]; /* the newest */
    char previous[UTIL_UUID_SIZE];    /* the one before it; "" for none */
} head_record_t;

/* Events with these times were seen; a shim that sends an event again keeps its time. Eight,
 * because at most a few events of one process are on the way at once. */
#define PROCESS_RECENT 8

/* Value of TABLE_PROCESSES. */
typedef struct process_record {
    uint32_t version;
    uint32_t seen;       /* bit per task_event_t */
    uint32_t pid;        /* 0 while unknown */
    uint8_t ended;       /* init only: the incarnation is over */
    uint8_t recent_next; /* where the next one goes */
    uint8_t recent_kinds[PROCESS_RECENT];
    uint8_t unused[2];
    int64_t recent_times[PROCESS_RECENT]; /* ns since the epoch */
    int64_t keep_until;                   /* ns since the epoch; 0 while it is in use */
} process_record_t;

/* False, with an empty record in `ret`, when there is none. */
bool head_record_get(txn_t *txn, const char *ns, const char *id, head_record_t *ret);
const head_record_t *head_record_of(const msg_bytes_t *stored); /* NULL when it is none */
void head_record_put(txn_t *txn, const char *ns, const char *id, head_record_t *record);
bool process_record_get(txn_t *txn, const store_key_t *key, process_record_t *ret);
void process_record_put(txn_t *txn, const store_key_t *key, process_record_t *record);

/* The same kind of event with the same time was seen; notes one. */
bool process_record_has_recent(const process_record_t *self, unsigned kind, int64_t time);
void process_record_add_recent(process_record_t *self, unsigned kind, int64_t time);

#endif
