/* What store.c (the environment) and txn.c (transactions) share. */
#ifndef SHIMD_STORE_INTERNAL_H
#define SHIMD_STORE_INTERNAL_H

#include "workers/metadata/store.h"

struct store {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    size_t map_size, map_max; /* bytes */
};

#endif
