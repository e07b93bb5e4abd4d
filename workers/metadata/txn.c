/* Transactions, records and walks over tables. */
#include "workers/metadata/store_internal.h"

#include "common/log.h"
#include "common/util.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int begin(store_t *store, unsigned flags, MDB_txn **ret)
{
    int error = mdb_txn_begin(store->env, NULL, flags, ret);
    if (error != MDB_MAP_RESIZED)
        return error;
    /* Another process (a backup, a check) grew the map: take over its size. */
    error = mdb_env_set_mapsize(store->env, 0);
    return error ? error : mdb_txn_begin(store->env, NULL, flags, ret);
}

static txn_t *txn_new(store_t *store, unsigned flags, int *error)
{
    MDB_txn *mdb;
    *error = begin(store, flags, &mdb);
    if (*error)
        return NULL;
    txn_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    *self = (txn_t){.store = store, .mdb = mdb, .journal_last = store->journal_last};
    if (!(flags & MDB_RDONLY))
        self->cache = store->cache;
    self->news_end = &self->news;
    return self;
}

txn_t *txn_read(store_t *store, status_t *st)
{
    int error;
    txn_t *self = txn_new(store, MDB_RDONLY, &error);
    if (!self)
        store_status(store, error, st);
    return self;
}

txn_t *txn_write(store_t *store, int *error)
{
    return txn_new(store, 0, error);
}

void txn_destroy(txn_t **self_p)
{
    txn_t *self = *self_p;
    if (!self)
        return;
    if (self->mdb)
        mdb_txn_abort(self->mdb);
    if (self->cache)
        cache_end(self->cache, self->is_committed);
    news_destroy(&self->news);
    free(self);
    *self_p = NULL;
}

int txn_error(const txn_t *self)
{
    return self->error;
}

void txn_fail(txn_t *self, int error)
{
    if (!self->error)
        self->error = store_error(self->store, error);
}

void txn_fail_structure(txn_t *self, int error)
{
    txn_fail(self, error);
    if (self->store->is_single_file)
        return;
    log_error("metadata store: its structure is damaged: %s: giving up", mdb_strerror(error));
    store_suspect();
    exit(EXIT_FAILURE);
}

/* What LMDB says of a record that it was asked for. */
static void fail(txn_t *self, int error)
{
    bool is_structure = error == MDB_CORRUPTED || error == MDB_PAGE_NOTFOUND ||
                        error == MDB_CURSOR_FULL || error == MDB_INVALID;
    if (is_structure)
        txn_fail_structure(self, error);
    else
        txn_fail(self, error);
}

uint64_t txn_journal_last(const txn_t *self)
{
    return self->journal_last;
}

void txn_touch(txn_t *self)
{
    self->writes++;
}

size_t txn_writes(const txn_t *self)
{
    return self->writes;
}

status_code_t txn_status(const txn_t *self, status_t *st)
{
    return store_status(self->store, self->error, st);
}

static MDB_val value_of(const void *data, size_t size)
{
    /* LMDB reads through this pointer only. */
    return (MDB_val){.mv_data = (void *)(uintptr_t)data, .mv_size = size};
}

/* The value in front of its checksum. False, with the record noted, when that does not match. */
static bool unwrap(txn_t *self, table_t table, const MDB_val *key, const MDB_val *stored,
                   msg_bytes_t *ret)
{
    uint32_t sum;
    bool is_whole = stored->mv_size >= STORE_SUM_SIZE;
    if (is_whole) {
        *ret = (msg_bytes_t){.data = stored->mv_data, .size = stored->mv_size - STORE_SUM_SIZE};
        memcpy(&sum, ret->data + ret->size, STORE_SUM_SIZE);
        is_whole = sum == store_sum(table, key->mv_data, key->mv_size, ret->data, ret->size);
    }
    if (!is_whole)
        store_note_lost(self->store, table, key->mv_data, key->mv_size);
    return is_whole;
}

bool txn_get(txn_t *self, table_t table, const void *key, size_t size, msg_bytes_t *ret)
{
    if (self->error)
        return false;
    bool is_cached = self->cache && cache_has_table(table);
    if (is_cached && cache_get(self->cache, table, key, size, ret))
        return true;
    MDB_val k = value_of(key, size), v;
    int error = mdb_get(self->mdb, self->store->tables[table], &k, &v);
    if (error) {
        if (error != MDB_NOTFOUND)
            fail(self, error);
        return false;
    }
    bool is_whole = unwrap(self, table, &k, &v, ret);
    if (is_whole && is_cached)
        cache_put(self->cache, table, key, size, ret->data, ret->size, false);
    return is_whole;
}

bool txn_is_lost(const txn_t *self, table_t table, const void *key, size_t size)
{
    size_t count;
    const store_lost_t *lost = store_lost(self->store, &count);
    for (size_t i = 0; i < count; i++)
        if (lost[i].table == table && lost[i].key.size == size &&
            !memcmp(lost[i].key.bytes, key, size))
            return true;
    return false;
}

static MDB_cursor *cursor_of(txn_t *self, table_t table)
{
    MDB_cursor *cursor = NULL;
    int error = mdb_cursor_open(self->mdb, self->store->tables[table], &cursor);
    if (error)
        fail(self, error);
    return cursor;
}

/* LMDB makes room, and value and checksum are written where they stay. */
static void put(txn_t *self, MDB_cursor *cursor, table_t table, MDB_val key, MDB_val value,
                unsigned flags)
{
    MDB_val room = {.mv_size = value.mv_size + STORE_SUM_SIZE};
    uint32_t sum = store_sum(table, key.mv_data, key.mv_size, value.mv_data, value.mv_size);
    int error = mdb_cursor_put(cursor, &key, &room, flags | MDB_RESERVE);
    if (error) {
        /* A key behind the last one is there: one that no walk has seen. */
        fail(self, error == MDB_KEYEXIST ? MDB_CORRUPTED : error);
        return;
    }
    if (value.mv_size)
        memcpy(room.mv_data, value.mv_data, value.mv_size);
    memcpy((uint8_t *)room.mv_data + value.mv_size, &sum, STORE_SUM_SIZE);
    if (table == TABLE_JOURNAL && key.mv_size == sizeof self->journal_last) {
        uint64_t seq;
        memcpy(&seq, key.mv_data, sizeof seq);
        self->journal_last = seq > self->journal_last ? seq : self->journal_last;
    }
}

/* The cursor of appends must not have to follow what others change. */
static void leave_journal(txn_t *self, table_t table)
{
    if (table == TABLE_JOURNAL && self->journal)
        mdb_cursor_close(TAKE(self->journal));
}

void txn_put(txn_t *self, table_t table, const void *key, size_t size, const void *data,
             size_t data_size)
{
    if (self->error)
        return;
    self->writes++;
    if (self->cache && cache_has_table(table) &&
        cache_put(self->cache, table, key, size, data, data_size, true))
        return;
    leave_journal(self, table);
    MDB_cursor *cursor = cursor_of(self, table);
    if (!cursor)
        return;
    put(self, cursor, table, value_of(key, size), value_of(data, data_size), 0);
    mdb_cursor_close(cursor);
}

void txn_append(txn_t *self, table_t table, const void *key, size_t size, const void *data,
                size_t data_size)
{
    if (self->error)
        return;
    self->writes++;
    MDB_cursor *cursor = table == TABLE_JOURNAL ? self->journal : NULL;
    if (!cursor && !(cursor = cursor_of(self, table)))
        return;
    put(self, cursor, table, value_of(key, size), value_of(data, data_size), MDB_APPEND);
    if (table == TABLE_JOURNAL)
        self->journal = cursor;
    else
        mdb_cursor_close(cursor);
}

/* What the cache has of it ----------------------------------------------------------------------
 */

typedef struct flush {
    txn_t *txn;
    table_t table;
    MDB_cursor *cursor; /* on that table, where the record before was put; NULL at first */
} flush_t;

static void write_record(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    flush_t *self = arg;
    if (self->cursor && self->table != table)
        mdb_cursor_close(TAKE(self->cursor));
    if (self->txn->error)
        return;
    self->table = table;
    if (!self->cursor)
        self->cursor = cursor_of(self->txn, table);
    if (self->cursor)
        put(self->txn, self->cursor, table, value_of(key->data, key->size),
            value_of(value->data, value->size), 0);
}

static void write_cache(txn_t *self)
{
    flush_t flush = {.txn = self};
    if (!self->cache || !cache_new_count(self->cache))
        return;
    cache_flush(self->cache, write_record, &flush);
    if (flush.cursor)
        mdb_cursor_close(flush.cursor);
}

/* Whoever looks at the table as a whole sees it as it is. */
static void settle(txn_t *self, table_t table)
{
    if (cache_has_table(table))
        write_cache(self);
}

bool txn_delete(txn_t *self, table_t table, const void *key, size_t size)
{
    if (self->error)
        return false;
    leave_journal(self, table);
    bool was_new =
        self->cache && cache_has_table(table) && cache_drop(self->cache, table, key, size);
    MDB_val k = value_of(key, size);
    int error = mdb_del(self->mdb, self->store->tables[table], &k, NULL);
    if (error && error != MDB_NOTFOUND)
        fail(self, error);
    bool is_gone = !error || (error == MDB_NOTFOUND && was_new);
    self->writes += is_gone;
    return is_gone;
}

static MDB_stat stat_of(txn_t *self, table_t table)
{
    MDB_stat stat = {.ms_entries = 0};
    settle(self, table);
    int error = self->error ? self->error : mdb_stat(self->mdb, self->store->tables[table], &stat);
    if (error)
        fail(self, error);
    return stat;
}

static uint64_t bytes_of(const MDB_stat *stat)
{
    return (stat->ms_branch_pages + stat->ms_leaf_pages + stat->ms_overflow_pages) *
           (uint64_t)stat->ms_psize;
}

size_t txn_count(txn_t *self, table_t table)
{
    return stat_of(self, table).ms_entries;
}

uint64_t txn_bytes(txn_t *self, table_t table)
{
    MDB_stat stat = stat_of(self, table);
    return bytes_of(&stat);
}

/* Page numbers that are free are lists under the transactions that freed them. */
static uint64_t count_free(txn_t *self)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t total = 0, count;
    int error = mdb_cursor_open(self->mdb, 0, &cursor);
    if (error) {
        fail(self, error);
        return 0;
    }
    while (!(error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        memcpy(&count, value.mv_data, sizeof count);
        total += count;
    }
    if (error != MDB_NOTFOUND)
        fail(self, error);
    mdb_cursor_close(cursor);
    return total;
}

void txn_measure(txn_t *self, store_sizes_t *ret)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file = {.st_size = 0};
    int fd, error = self->error;
    *ret = (store_sizes_t){.map_bytes = self->store->map_size, .max_bytes = self->store->map_max};
    for (size_t i = 0; i < TABLE_COUNT && !error; i++) {
        error = mdb_stat(self->mdb, self->store->tables[i], &stat);
        if (error)
            break;
        ret->tables[i].records = stat.ms_entries;
        ret->tables[i].bytes = bytes_of(&stat);
    }
    if (!error)
        error = mdb_env_info(self->store->env, &info);
    if (!error)
        error = mdb_env_get_fd(self->store->env, &fd);
    if (error || fstat(fd, &file)) {
        fail(self, error ? error : errno);
        return;
    }
    ret->txn = mdb_txn_id(self->mdb);
    ret->file_bytes = (uint64_t)file.st_size;
    ret->used_bytes = (info.me_last_pgno + 1 - count_free(self)) * stat.ms_psize;
}

bool txn_get_message(txn_t *self, table_t table, const store_key_t *key, msg_id_t id,
                     msgpack_zone *zone, void *ret)
{
    msg_bytes_t found;
    if (!txn_get(self, table, key->bytes, key->size, &found))
        return false;
    status_t st;
    if (!msg_decode(id, found.data, found.size, zone, ret, &st))
        return true;
    log_error("store: record of %zu bytes is damaged: %s", found.size, st.text);
    txn_fail(self, MDB_CORRUPTED);
    return false;
}

void txn_put_message(txn_t *self, table_t table, const store_key_t *key, msg_id_t id,
                     const void *value)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msg_encode(id, value, &buffer);
    txn_put(self, table, key->bytes, key->size, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
}

/* Walks -----------------------------------------------------------------------------------------
 */

/* To where `op` says, and past what is damaged there. */
static bool move(scan_t *self, MDB_val key, MDB_cursor_op op)
{
    MDB_val value;
    MDB_cursor_op onward = op == MDB_LAST ? MDB_PREV : MDB_NEXT;
    int error = mdb_cursor_get(self->cursor, &key, &value, op);
    while (!error && !unwrap(self->txn, self->table, &key, &value, &self->value))
        error = mdb_cursor_get(self->cursor, &key, &value, onward);
    if (error) {
        if (error != MDB_NOTFOUND)
            fail(self->txn, error);
        return false;
    }
    self->key = (msg_bytes_t){.data = key.mv_data, .size = key.mv_size};
    return true;
}

static bool open_cursor(scan_t *self, txn_t *txn, table_t table)
{
    *self = (scan_t){.txn = txn, .table = table};
    settle(txn, table);
    if (!txn->error)
        self->cursor = cursor_of(txn, table);
    return self->cursor != NULL;
}

bool txn_has_key(txn_t *self, table_t table, const void *key, size_t size)
{
    scan_t scan;
    MDB_val at, value;
    int error = open_cursor(&scan, self, table) ? 0 : MDB_NOTFOUND;
    bool found = false;
    while (!error && !found && !(error = mdb_cursor_get(scan.cursor, &at, &value, MDB_NEXT)))
        found = at.mv_size == size && !memcmp(at.mv_data, key, size);
    if (error && error != MDB_NOTFOUND)
        fail(self, error);
    scan_close(&scan);
    return found;
}

bool scan_seek(scan_t *self, txn_t *txn, table_t table, const void *from, size_t size)
{
    return open_cursor(self, txn, table) &&
           move(self, value_of(from, size), from ? MDB_SET_RANGE : MDB_FIRST);
}

bool scan_last(scan_t *self, txn_t *txn, table_t table)
{
    return open_cursor(self, txn, table) && move(self, value_of(NULL, 0), MDB_LAST);
}

bool scan_next(scan_t *self)
{
    return !self->txn->error && move(self, value_of(NULL, 0), MDB_NEXT);
}

void scan_close(scan_t *self)
{
    if (self->cursor)
        mdb_cursor_close(self->cursor);
    self->cursor = NULL;
}

bool scan_has_prefix(const scan_t *self, const store_key_t *prefix)
{
    return self->key.size >= prefix->size && !memcmp(self->key.data, prefix->bytes, prefix->size);
}

/* Commit ----------------------------------------------------------------------------------------
 */

static void seal(txn_t *self)
{
    const store_seal_t seal = {.txn = mdb_txn_id(self->mdb), .last = self->journal_last};
    txn_put(self, TABLE_NS_SEQ, STORE_SEAL_KEY, strlen(STORE_SEAL_KEY), &seal, sizeof seal);
}

int txn_commit(txn_t **self_p, news_t **ret_news)
{
    txn_t *self = *self_p;
    write_cache(self);
    txn_write_numbers(self);
    if (self->writes)
        seal(self);
    int error = self->error;
    if (!error) {
        error = store_error(self->store, mdb_txn_commit(self->mdb));
        self->mdb = NULL; /* LMDB has freed it, whatever the outcome */
    }
    *ret_news = NULL;
    self->is_committed = !error;
    if (!error) {
        if (self->journal_last > self->store->journal_last)
            self->store->journal_last = self->journal_last;
        *ret_news = TAKE(self->news);
    }
    txn_destroy(self_p);
    return error;
}

/* News ------------------------------------------------------------------------------------------
 */

void txn_tell(txn_t *self, const char *ns, const char *topic, const void *data, size_t size)
{
    size_t ns_size = strlen(ns), key_size = ns_size + strlen(topic) + 1;
    news_t *item = malloc(sizeof *item + key_size + size);
    if (!item)
        abort();
    *item = (news_t){.data = item->key + key_size, .size = size};
    memcpy(item->key, ns, ns_size);
    memcpy(item->key + ns_size, topic, key_size - ns_size);
    memcpy(item->data, data, size);
    *self->news_end = item;
    self->news_end = &item->next;
}

void news_destroy(news_t **self)
{
    while (*self) {
        news_t *item = *self;
        *self = item->next;
        free(item);
    }
}
