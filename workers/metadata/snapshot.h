/* The store as it is at one moment, read beside the process that works on it: LMDB keeps its pages
 * until the snapshot is closed, and nothing waits for it. */
#ifndef SHIMD_METADATA_SNAPSHOT_H
#define SHIMD_METADATA_SNAPSHOT_H

#include "workers/metadata/salvage.h"

typedef struct snapshot {
    MDB_env *env; /* NULL when nobody works on it */
    MDB_txn *txn;
    mdb_file_t file;
    survey_root_t root;
    char why[SURVEY_FLAW_SIZE]; /* what is wrong with the meta pages; "" for nothing */
} snapshot_t;

/* Of the store in `directory`. Close it also when this fails. */
status_code_t snapshot_open(snapshot_t *self, const char *directory, status_t *st);
void snapshot_close(snapshot_t *self);

/* Somebody has the store in `directory` open. */
bool snapshot_is_in_use(const char *directory);

#endif
