/* Transactions and records. */
#include "workers/metadata/store_internal.h"

#include "common/log.h"
#include "common/util.h"

#include <assert.h>
#include <string.h>

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

void txn_fail_read(txn_t *self, int error)
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

MDB_val txn_value(const void *data, size_t size)
{
    return (MDB_val){.mv_data = (void *)(uintptr_t)data, .mv_size = size};
}

bool txn_unwrap(txn_t *self, table_t table, const MDB_val *key, const MDB_val *stored,
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
    MDB_val k = txn_value(key, size), v;
    int error = mdb_get(self->mdb, self->store->tables[table], &k, &v);
    if (error) {
        if (error != MDB_NOTFOUND)
            txn_fail_read(self, error);
        return false;
    }
    bool is_whole = txn_unwrap(self, table, &k, &v, ret);
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

MDB_cursor *txn_cursor(txn_t *self, table_t table)
{
    MDB_cursor *cursor = NULL;
    int error = mdb_cursor_open(self->mdb, self->store->tables[table], &cursor);
    if (error)
        txn_fail_read(self, error);
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
        txn_fail_read(self, error == MDB_KEYEXIST ? MDB_CORRUPTED : error);
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
    MDB_cursor *cursor = txn_cursor(self, table);
    if (!cursor)
        return;
    put(self, cursor, table, txn_value(key, size), txn_value(data, data_size), 0);
    mdb_cursor_close(cursor);
}

void txn_append(txn_t *self, table_t table, const void *key, size_t size, const void *data,
                size_t data_size)
{
    if (self->error)
        return;
    self->writes++;
    MDB_cursor *cursor = table == TABLE_JOURNAL ? self->journal : NULL;
    if (!cursor && !(cursor = txn_cursor(self, table)))
        return;
    put(self, cursor, table, txn_value(key, size), txn_value(data, data_size), MDB_APPEND);
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
        self->cursor = txn_cursor(self->txn, table);
    if (self->cursor)
        put(self->txn, self->cursor, table, txn_value(key->data, key->size),
            txn_value(value->data, value->size), 0);
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

void txn_settle(txn_t *self, table_t table)
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
    MDB_val k = txn_value(key, size);
    int error = mdb_del(self->mdb, self->store->tables[table], &k, NULL);
    if (error && error != MDB_NOTFOUND)
        txn_fail_read(self, error);
    bool is_gone = !error || (error == MDB_NOTFOUND && was_new);
    self->writes += is_gone;
    return is_gone;
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
