/* What store.c (the environment) and the files of transactions (txn.c, txn_sizes.c, scan.c) share.
 */
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

/* For the other files of transactions. */

/* What LMDB says of a record that it was asked for. */
void txn_fail_read(txn_t *self, int error);

MDB_val txn_value(const void *data, size_t size); /* LMDB only reads through it */

/* The value in front of its checksum. False, with the record noted, when that does not match. */
bool txn_unwrap(txn_t *self, table_t table, const MDB_val *key, const MDB_val *stored,
                msg_bytes_t *ret);

/* Whoever looks at the table as a whole sees it as it is: what the cache has of it is written. */
void txn_settle(txn_t *self, table_t table);

MDB_cursor *txn_cursor(txn_t *self, table_t table); /* NULL with the transaction failed */

/* LMDB says EIO when the filesystem took only a part of a write: ENOSPC when that is because it is
 * full. Other codes are what they are. */
int store_error(const store_t *self, int error);

#endif
