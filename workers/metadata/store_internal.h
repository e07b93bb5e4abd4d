/* What store.c (the environment) and txn.c (transactions) share. */
#ifndef SHIMD_STORE_INTERNAL_H
#define SHIMD_STORE_INTERNAL_H

#include "workers/metadata/store.h"

struct store {
    char *path;
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    size_t map_size, map_max; /* bytes */
    uint64_t journal_last;    /* of the seal */
    store_lost_t lost[STORE_LOST_MAX];
    size_t lost_count;
};

/* LMDB says EIO when the filesystem took only a part of a write: ENOSPC when that is because it is
 * full. Other codes are what they are. */
int store_error(const store_t *self, int error);

#endif
