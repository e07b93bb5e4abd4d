/* How large the store and its tables are. */
#include "workers/metadata/store_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static MDB_stat stat_of(txn_t *self, table_t table)
{
    MDB_stat stat = {.ms_entries = 0};
    txn_settle(self, table);
    int error = self->error ? self->error : mdb_stat(self->mdb, self->store->tables[table], &stat);
    if (error)
        txn_fail_read(self, error);
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
        txn_fail_read(self, error);
        return 0;
    }
    while (!(error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        memcpy(&count, value.mv_data, sizeof count);
        total += count;
    }
    if (error != MDB_NOTFOUND)
        txn_fail_read(self, error);
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
        txn_fail_read(self, error ? error : errno);
        return;
    }
    ret->txn = mdb_txn_id(self->mdb);
    ret->file_bytes = (uint64_t)file.st_size;
    ret->used_bytes = (info.me_last_pgno + 1 - count_free(self)) * stat.ms_psize;
}
