/* The LMDB environment under ROOT/metadata: its tables, and transactions whose first failure
 * sticks, so that operations read as straight lines and the outcome is looked at once, at the
 * commit. */
#ifndef SHIMD_STORE_H
#define SHIMD_STORE_H

#include "common/message.h"

#include <lmdb.h>

/* Each record carries a checksum over its table, key and value. One that does not match is a record
 * that is not there: reads pass by it, note it once, and whoever mends the store (mend.h) takes it
 * away and tells of it.
 *
 * Composite keys are texts joined by NUL bytes, so that they sort by their parts. */
typedef enum table {
    TABLE_NAMESPACES,  /* NS -> namespace */
    TABLE_CONTAINERS,  /* NS, ID -> container without its spec, so that lists do not read specs */
    TABLE_SPECS,       /* NS, ID -> the spec as it was given */
    TABLE_JOURNAL,     /* u64 sequence number -> event map as it is published */
    TABLE_NS_SEQ,      /* NS -> u64, last sequence number within the namespace; ".aside" likewise;
                          ".seal": see store_seal_t */
    TABLE_REQUESTS,    /* request id -> outcome */
    TABLE_HEADS,       /* NS, ID -> newest incarnation */
    TABLE_PROCESSES,   /* NS, ID, INCARNATION, EXEC ("" for init) -> events seen */
    TABLE_EXITS,       /* NS, ID, INCARNATION, EXEC -> exit record, an incarnation.exit */
    TABLE_EXPIRY,      /* u64 big-endian time, kind, key -> nothing: when a record may go */
    TABLE_HELD,        /* NS, ID, INCARNATION, u64 big-endian number -> event that waits */
    TABLE_DUE,         /* u64 big-endian time, key of TABLE_HELD -> nothing: until when */
    TABLE_ASIDE,       /* u64 sequence number of its own -> event map with the reason */
    TABLE_TARGETS,     /* NS, ID, u64 big-endian time, request id -> nothing: requests about ID */
    TABLE_TRAILS,      /* NS, ID -> u64, sequence number of the newest event about ID; while it has
                          a run that is in the run's record, if newer (process_record_t) */
    TABLE_ENDS,        /* u64 big-endian time counted down, key of TABLE_EXITS -> nothing */
    TABLE_SUBSCRIBERS, /* NS ("" for all), NAME -> subscriber */
    TABLE_COUNT
} table_t;

#define STORE_MAP_INITIAL                                                                          \
    ((size_t)64 << 20)                   /* bytes of address space; the file grows as needed       \
                                          */
#define STORE_MAP_MAX ((size_t)16 << 30) /* bytes; beyond it writes are RESOURCE_EXHAUSTED */

#define STORE_KEY_MAX 288 /* bytes */
typedef struct store_key {
    uint8_t bytes[STORE_KEY_MAX];
    size_t size;
} store_key_t;

/* The texts joined by NUL bytes. Their lengths are the caller's to have checked. */
void store_key_add(store_key_t *self, const char *text); /* a NUL byte and the text */
#define STORE_KEY(...)                                                                             \
    store_key_join((const char *const[]){__VA_ARGS__},                                             \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
store_key_t store_key_join(const char *const *texts, size_t count);

/* Under STORE_SEAL_KEY in TABLE_NS_SEQ, written by each transaction: tells which one a root page is
 * of, and how far the journal had come even when its last records are damaged. */
#define STORE_SEAL_KEY ".seal"
typedef struct store_seal {
    uint64_t txn;  /* LMDB's number of the transaction */
    uint64_t last; /* sequence number of the journal's last event */
} store_seal_t;

/* What a record is stored with, behind its value. Of the table's name, so that it does not depend
 * on the order of table_t. */
#define STORE_SUM_SIZE sizeof(uint32_t)
uint32_t store_sum(table_t table, const void *key, size_t key_size, const void *data, size_t size);
const char *store_table_name(table_t table);
bool store_table_has_numbers(table_t table); /* for keys: u64 in the machine's order */

typedef struct store store_t;

/* A new environment in the file `path` alone, for one writer, without sync until store_flush. It
 * does not grow. */
store_t *store_create(const char *path, size_t map_size, status_t *st);
int store_flush(store_t *self);

/* What opening found and did about damage. */
const struct salvage_report *store_report(const store_t *self);

/* Opens or makes the environment in directory `path` (0700; its parent is made too, 0711), with
 * full sync: a commit that returned is on the disk. A damaged one is made anew from what is whole
 * (salvage.h). `map_size` in bytes is where the map starts,
 * `map_max` where it ends. Blocks. */
store_t *store_open(const char *path, size_t map_size, size_t map_max, status_t *st);
void store_destroy(store_t **self);

/* Doubles the map. 0, or MDB_MAP_FULL at its limit. No transaction may be open. */
int store_grow(store_t *self);
size_t store_map_size(const store_t *self);

/* What an LMDB or errno code means to whoever asked. */
status_code_t store_status(const store_t *self, int error, status_t *st);

/* Records that were found damaged and wait for being mended: at most STORE_LOST_MAX, and when they
 * are gone reading finds the next. */
#define STORE_LOST_MAX 64
typedef struct store_lost {
    table_t table;
    store_key_t key;
} store_lost_t;
const store_lost_t *store_lost(const store_t *self, size_t *ret_count);
void store_note_lost(store_t *self, table_t table, const void *key, size_t size);
void store_forget_lost(store_t *self, size_t count); /* the first ones */

/* Of the last commit's seal. */
uint64_t store_journal_last(const store_t *self);
void store_set_journal_last(store_t *self, uint64_t last);

/* Takes away the read transactions of processes that have died, a killed backup's: the pages they
 * pin would never be used again, and the file would grow. Returns how many there were. */
int store_drop_readers(store_t *self);

/* Transactions that other processes read in: a backup's. */
#define STORE_READERS_MAX 1024
typedef struct store_reader {
    pid_t pid;
    uint64_t txn; /* LMDB's number of the state that it sees */
} store_reader_t;
size_t store_readers(store_t *self, store_reader_t ret[STORE_READERS_MAX]);

const char *store_path(const store_t *self);

/* Notes on the disk that the store's structure may be damaged, so that the next store_open looks it
 * over as a whole. May be called from a signal's handler. */
void store_suspect(void);

/* A transaction. Its first failure sticks: later reads find nothing, later writes do nothing, and
 * the commit fails with it. */
typedef struct txn txn_t;

/* NULL with a status when none can be begun. Read transactions do not see, nor wait for, an open
 * write transaction. There is one write transaction at a time. */
txn_t *txn_read(store_t *store, status_t *st);
txn_t *txn_write(store_t *store, int *error);

/* Without a commit everything the transaction wrote is undone. */
void txn_destroy(txn_t **self);

/* Ends the transaction. 0 when all of it is durable; else the LMDB or errno code, and nothing of it
 * was done. Events it gave to txn_tell are then in `*ret_news`, the caller's to free. */
typedef struct news news_t;
int txn_commit(txn_t **self, news_t **ret_news);

int txn_error(const txn_t *self);      /* 0 while nothing failed */
void txn_fail(txn_t *self, int error); /* makes it fail */

/* The structure of the file is damaged. With a store in a directory the process ends here: its
 * successor salvages what is there, and what was not answered is asked again. */
void txn_fail_structure(txn_t *self, int error);
void txn_touch(txn_t *self);          /* it has a seal to write even without a record */
size_t txn_writes(const txn_t *self); /* how many writes it made */
status_code_t txn_status(const txn_t *self, status_t *st);

/* `ret` points into the map: it is valid until the next write of this transaction. */
bool txn_get(txn_t *self, table_t table, const void *key, size_t size, msg_bytes_t *ret);
void txn_put(txn_t *self, table_t table, const void *key, size_t size, const void *data,
             size_t data_size);
/* The same for a key greater than all that are there. */
void txn_append(txn_t *self, table_t table, const void *key, size_t size, const void *data,
                size_t data_size);
bool txn_delete(txn_t *self, table_t table, const void *key, size_t size);
size_t txn_count(txn_t *self, table_t table);
uint64_t txn_bytes(txn_t *self, table_t table); /* of its pages */

/* How large the store is, as the transaction sees it. */
typedef struct store_sizes {
    uint64_t file_bytes, used_bytes, map_bytes, max_bytes; /* used: of the file */
    uint64_t txn;                                          /* LMDB's number of the transaction */
    struct {
        uint64_t records, bytes; /* bytes: of its pages */
    } tables[TABLE_COUNT];
} store_sizes_t;
void txn_measure(txn_t *self, store_sizes_t *ret);

/* It was read and found damaged, and waits for being mended. */
bool txn_is_lost(const txn_t *self, table_t table, const void *key, size_t size);

/* Walks over the table for a record, whole or not, that a search may not find. */
bool txn_has_key(txn_t *self, table_t table, const void *key, size_t size);

/* Numbers that are counted up again and again, in TABLE_NS_SEQ under their names of at most
 * TXN_NAME_MAX bytes: the next one, from 1 on, and the last one. They are kept in memory, and
 * written with the commit. */
#define TXN_NAME_MAX 76
uint64_t txn_next(txn_t *self, const char *name);
uint64_t txn_number(txn_t *self, const char *name);

uint64_t txn_journal_last(const txn_t *self); /* of all that ever were in TABLE_JOURNAL */

/* Messages as values. A record that is there and cannot be decoded fails the transaction. */
bool txn_get_message(txn_t *self, table_t table, const store_key_t *key, msg_id_t id,
                     msgpack_zone *zone, void *ret);
void txn_put_message(txn_t *self, table_t table, const store_key_t *key, msg_id_t id,
                     const void *value);

/* A walk over a table in order of keys, past damaged records; key and value are valid until the
 * transaction's next write. `scan_seek` stands on the first key not before `from` (on the very
 * first for a NULL one). scan_t scan; for (bool any = scan_seek(&scan, txn, table, from, size);
 * any; any = scan_next(&scan)) ... scan_close(&scan); */
typedef struct scan {
    txn_t *txn;
    table_t table;
    MDB_cursor *cursor;
    msg_bytes_t key, value;
} scan_t;
bool scan_seek(scan_t *self, txn_t *txn, table_t table, const void *from, size_t size);
bool scan_last(scan_t *self, txn_t *txn, table_t table);
bool scan_next(scan_t *self);
void scan_close(scan_t *self);
bool scan_has_prefix(const scan_t *self, const store_key_t *prefix);

/* An event that becomes public once the transaction is committed, in order; all of it is copied.
 * Its key is namespace and topic, one behind the other. */
void txn_tell(txn_t *self, const char *ns, const char *topic, const void *data, size_t size);

/* One piece of memory, for free(). */
struct news {
    news_t *next;
    void *data; /* behind the key */
    size_t size;
    char key[];
};
void news_destroy(news_t **self); /* all of them */

#endif
