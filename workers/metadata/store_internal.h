/* What store.c (the environment) and txn.c (transactions) share. */
#ifndef SHIMD_STORE_INTERNAL_H
#define SHIMD_STORE_INTERNAL_H

#include "workers/metadata/cache.h"
#include "workers/metadata/salvage.h"
#include "workers/metadata/store.h"

struct store {
    char *path;
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    size_t map_size, map_max; /* bytes */
    uint64_t journal_last;    /* of the seal */
    bool is_single_file;      /* of store_create */
    cache_t *cache;           /* of the write transactions */
    salvage_report_t report;
    store_lost_t lost[STORE_LOST_MAX];
    size_t lost_count;
};

#define TXN_NUMBERS_MAX 16 /* names at a time; more are written at once */

typedef struct txn_counter {
    char name[TXN_NAME_MAX + 1];
    bool is_new; /* not written yet */
    uint64_t number;
} txn_counter_t;

struct txn {
    store_t *store;
    MDB_txn *mdb;
    cache_t *cache;      /* the store's; NULL in one that reads */
    MDB_cursor *journal; /* behind the last event; NULL before the first append */
    bool is_committed;
    int error; /* the first failure */
    size_t writes;
    uint64_t journal_last; /* what the seal will say */
    size_t counter_count, counter_next;
    txn_counter_t counters[TXN_NUMBERS_MAX];
    news_t *news, **news_end;
};

/* Writes those of txn_next. */
void txn_write_numbers(txn_t *self);

/* LMDB says EIO when the filesystem took only a part of a write: ENOSPC when that is because it is
 * full. Other codes are what they are. */
int store_error(const store_t *self, int error);

#endif
