/* Stored forms of an incarnation: which one a container's newest is, and what was seen of each of
 * its processes. Fixed structs in the machine's byte order, as LMDB's own pages are. */
#ifndef SHIMD_METADATA_PROCESS_RECORD_H
#define SHIMD_METADATA_PROCESS_RECORD_H

#include "common/util.h"
#include "workers/metadata/automaton.h"
#include "workers/metadata/store.h"

/* Value of TABLE_HEADS. */
typedef struct head_record {
    uint8_t version;
    uint8_t live;                     /* it has a task, or is about to */
    char incarnation[UTIL_UUID_SIZE]; /* the newest */
    char previous[UTIL_UUID_SIZE];    /* the one before it; "" for none */
    int64_t begun;                    /* ns since the epoch: when the newest began */
} head_record_t;

/* Value of TABLE_PROCESSES, without the zeros at its end. */
typedef struct process_record {
    uint32_t version;
    uint8_t ended; /* init only: the incarnation is over */
    uint8_t unused[3];
    uint32_t held;      /* init only: events of the incarnation that wait */
    uint32_t held_next; /* init only: number of the next one, less one */
    int64_t keep_until; /* ns since the epoch; 0 while it is in use */
    uint64_t newest;    /* init only, while the incarnation goes on: sequence number of the newest
                           event about the container; 0: TABLE_TRAILS has it */
    automaton_t state;
} process_record_t;

/* False, with an empty record in `ret`, when there is none. */
bool head_record_get(txn_t *txn, const char *ns, const char *id, head_record_t *ret);
bool head_record_at(txn_t *txn, const store_key_t *key, head_record_t *ret);
bool head_record_of(const msg_bytes_t *stored, head_record_t *ret); /* false when it is none */
void head_record_put(txn_t *txn, const char *ns, const char *id, head_record_t *record);
bool process_record_of(const msg_bytes_t *stored, process_record_t *ret); /* likewise */
bool process_record_get(txn_t *txn, const store_key_t *key, process_record_t *ret);
void process_record_put(txn_t *txn, const store_key_t *key, process_record_t *record);

#endif
