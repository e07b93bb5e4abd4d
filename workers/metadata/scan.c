/* Walks over a table of the store. */
#include "workers/metadata/store_internal.h"

#include <string.h>

/* To where `op` says, and past what is damaged there. */
static bool move(scan_t *self, MDB_val key, MDB_cursor_op op)
{
    MDB_val value;
    MDB_cursor_op onward = op == MDB_LAST ? MDB_PREV : MDB_NEXT;
    int error = mdb_cursor_get(self->cursor, &key, &value, op);
    while (!error && !txn_unwrap(self->txn, self->table, &key, &value, &self->value))
        error = mdb_cursor_get(self->cursor, &key, &value, onward);
    if (error) {
        if (error != MDB_NOTFOUND)
            txn_fail_read(self->txn, error);
        return false;
    }
    self->key = (msg_bytes_t){.data = key.mv_data, .size = key.mv_size};
    return true;
}

static bool open_cursor(scan_t *self, txn_t *txn, table_t table)
{
    *self = (scan_t){.txn = txn, .table = table};
    txn_settle(txn, table);
    if (!txn->error)
        self->cursor = txn_cursor(txn, table);
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
        txn_fail_read(self, error);
    scan_close(&scan);
    return found;
}

bool scan_seek(scan_t *self, txn_t *txn, table_t table, const void *from, size_t size)
{
    return open_cursor(self, txn, table) &&
           move(self, txn_value(from, size), from ? MDB_SET_RANGE : MDB_FIRST);
}

bool scan_last(scan_t *self, txn_t *txn, table_t table)
{
    return open_cursor(self, txn, table) && move(self, txn_value(NULL, 0), MDB_LAST);
}

bool scan_next(scan_t *self)
{
    return !self->txn->error && move(self, txn_value(NULL, 0), MDB_NEXT);
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
