/* Small records that are read and written again and again, an event's run above all, between the
 * write transactions and LMDB: read once, and written once by each transaction, in the order of
 * their keys. What is here is what the last commit has left, and what the transaction that is open
 * has put on top; without its commit all of it is forgotten. */
#ifndef SHIMD_METADATA_CACHE_H
#define SHIMD_METADATA_CACHE_H

#include "workers/metadata/store.h"

#define CACHE_RECORDS_MAX 8192 /* that are kept from one transaction to the next */
#define CACHE_VALUE_MAX   512  /* bytes; larger ones are not kept */

typedef struct cache cache_t;

cache_t *cache_new(void);
void cache_destroy(cache_t **self);

/* Whether records of the table are kept here. */
bool cache_has_table(table_t table);

/* `ret` is valid until that record is put or dropped. */
bool cache_get(cache_t *self, table_t table, const void *key, size_t size, msg_bytes_t *ret);

/* Keeps a record as LMDB has it, or as it is to be written: `is_new`. False when it is too large;
 * then an earlier one of that key is dropped. */
bool cache_put(cache_t *self, table_t table, const void *key, size_t size, const void *data,
               size_t data_size, bool is_new);

/* Forgets the record, also one that is new. True when it was new. */
bool cache_drop(cache_t *self, table_t table, const void *key, size_t size);

/* Forgets the record unless it is new: LMDB's is not what it was. */
void cache_doubt(cache_t *self, table_t table, const void *key, size_t size);

/* Gives `write` each new record, sorted by table and key; they are new no more. */
typedef void cache_write_t(void *arg, table_t table, const msg_bytes_t *key,
                           const msg_bytes_t *value);
void cache_flush(cache_t *self, cache_write_t *write, void *arg);
size_t cache_new_count(const cache_t *self);

/* The transaction is over: forgets all if it was not committed, or if there is too much. */
void cache_end(cache_t *self, bool is_committed);

#endif
