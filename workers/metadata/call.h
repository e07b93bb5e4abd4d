/* What every method of the metadata worker is given, and the forms its functions have. */
#ifndef SHIMD_METADATA_CALL_H
#define SHIMD_METADATA_CALL_H

#include "workers/metadata/store.h"

typedef struct call {
    const char *ns;     /* an identifier, or NULL when the method needs none and none was given */
    const void *ask;    /* struct of the method */
    void *answer;       /* struct of the method's answer, all zero at first */
    msgpack_zone *zone; /* memory for the answer; it outlives the transaction */
    int64_t now;        /* ns since the epoch */
    uint64_t delivered; /* event.ack: what was fetched, and more must not be acknowledged */
    const struct usage *usage; /* metadata.status: what it tells besides the store */
    const char *holder; /* container.create: the process that asks (proc_name); NULL when unknown */
    const struct restart_delays *delays; /* those that write: how long restarts wait */
} call_t;

/* Looks at an ask before a transaction is begun for it. */
typedef status_code_t call_check_t(const void *ask, status_t *st);

/* Answers from, or changes, the store. Refuses before its first write. Failures of the store itself
 * stick to the transaction and need no looking at. Answers of a method that writes lie in the zone;
 * those of one that reads may point into the transaction. */
typedef status_code_t call_run_t(txn_t *txn, const call_t *call, status_t *st);

#endif
