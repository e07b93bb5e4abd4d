/* The LMDB environment: opening, growing, checksums, and what its error codes mean. */
#include "workers/metadata/store_internal.h"

#include "common/log.h"
#include "common/util.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define XXH_INLINE_ALL /* each record is summed up when it is read and when it is written */
#include <xxhash.h>

#define FULL_BYTES (1 << 20) /* with less left a filesystem may refuse as if it were full */
#define LOCK_BYTES 16384     /* of LMDB's table of readers; it takes what its file has */

static const struct {
    const char *name;
    unsigned flags;
} tables[TABLE_COUNT] = {
    [TABLE_NAMESPACES] = {"namespaces", 0},
    [TABLE_CONTAINERS] = {"containers", 0},
    [TABLE_SPECS] = {"specs", 0},
    [TABLE_JOURNAL] = {"journal", MDB_INTEGERKEY},
    [TABLE_NS_SEQ] = {"ns-seq", 0},
    [TABLE_REQUESTS] = {"requests", 0},
    [TABLE_HEADS] = {"heads", 0},
    [TABLE_PROCESSES] = {"processes", 0},
    [TABLE_EXITS] = {"exits", 0},
    [TABLE_EXPIRY] = {"expiry", 0},
    [TABLE_HELD] = {"held", 0},
    [TABLE_DUE] = {"due", 0},
    [TABLE_ASIDE] = {"aside", MDB_INTEGERKEY},
    [TABLE_TARGETS] = {"targets", 0},
    [TABLE_TRAILS] = {"trails", 0},
    [TABLE_ENDS] = {"ends", 0},
    [TABLE_SUBSCRIBERS] = {"subscribers", 0},
};

const char *store_table_name(table_t table)
{
    return tables[table].name;
}

bool store_table_has_numbers(table_t table)
{
    return tables[table].flags & MDB_INTEGERKEY;
}

uint32_t store_sum(table_t table, const void *key, size_t key_size, const void *data, size_t size)
{
    const char *name = tables[table].name;
    uint64_t sum = XXH3_64bits_withSeed(name, strlen(name), key_size);
    sum = XXH3_64bits_withSeed(key, key_size, sum);
    return (uint32_t)XXH3_64bits_withSeed(data, size, sum);
}

store_key_t store_key_join(const char *const *texts, size_t count)
{
    store_key_t key; /* what is behind its size is nobody's: not worth clearing */
    key.size = strlen(texts[0]);
    assert(key.size <= STORE_KEY_MAX);
    memcpy(key.bytes, texts[0], key.size);
    for (size_t i = 1; i < count; i++)
        store_key_add(&key, texts[i]);
    return key;
}

void store_key_add(store_key_t *self, const char *text)
{
    size_t size = strlen(text);
    assert(self->size + 1 + size <= STORE_KEY_MAX);
    self->bytes[self->size] = '\0';
    memcpy(self->bytes + self->size + 1, text, size);
    self->size += 1 + size;
}

int store_error(const store_t *self, int error)
{
    int fd;
    struct statvfs info;
    if (error != EIO || mdb_env_get_fd(self->env, &fd) || fstatvfs(fd, &info))
        return error;
    return (uint64_t)info.f_bavail * info.f_frsize < FULL_BYTES ? ENOSPC : error;
}

status_code_t store_status(const store_t *self, int error, status_t *st)
{
    switch (error) {
    case 0:
        status_clear(st);
        return STATUS_OK;
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL:
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "metadata store %s is full: %s",
                          self->path, mdb_strerror(error));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_INVALID:
        return status_set(st, STATUS_DATA_LOSS, "metadata store %s is damaged: %s", self->path,
                          mdb_strerror(error));
    default:
        return status_set(st, STATUS_INTERNAL, "metadata store %s: %s", self->path,
                          mdb_strerror(error));
    }
}

static status_code_t make_directory(const char *path, mode_t mode, status_t *st)
{
    if (mkdir(path, mode) && errno != EEXIST)
        return status_errno(st, errno, "mkdir %s", path);
    return STATUS_OK;
}

static status_code_t make_directories(const char *path, status_t *st)
{
    AUTO_FREE char *parent = util_strdup(path);
    char *slash = strrchr(parent, '/');
    if (slash && slash > parent) {
        *slash = '\0';
        if (make_directory(parent, 0711, st))
            return st->code;
    }
    return make_directory(path, 0700, st);
}

static int open_tables(store_t *self)
{
    MDB_txn *txn;
    int error = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (error)
        return error;
    for (size_t i = 0; i < TABLE_COUNT && !error; i++)
        error = mdb_dbi_open(txn, tables[i].name, MDB_CREATE | tables[i].flags, &self->tables[i]);
    if (!error)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return error;
}

/* The seal, and where it is missing or behind, the journal itself. */
static int read_seal(store_t *self)
{
    status_t st;
    msg_bytes_t found;
    store_seal_t seal = {.last = 0};
    uint64_t last = 0;
    AUTO(txn)
    txn = txn_read(self, &st);
    if (!txn)
        return MDB_PANIC;
    if (txn_get(txn, TABLE_NS_SEQ, STORE_SEAL_KEY, strlen(STORE_SEAL_KEY), &found) &&
        found.size == sizeof seal)
        memcpy(&seal, found.data, sizeof seal);
    scan_t scan;
    if (scan_last(&scan, txn, TABLE_JOURNAL) && scan.key.size == sizeof last)
        memcpy(&last, scan.key.data, sizeof last);
    scan_close(&scan);
    self->journal_last = seal.last > last ? seal.last : last;
    return txn_error(txn);
}

int store_drop_readers(store_t *self)
{
    int dropped = 0;
    int error = mdb_reader_check(self->env, &dropped);
    if (error)
        log_warn("store: look for readers of dead processes: %s", mdb_strerror(error));
    if (dropped)
        log_info("store: %d readers of dead processes removed", dropped);
    return dropped;
}

/* LMDB makes it sparse and maps it: a page that the disk had no room for would be SIGBUS. */
static int reserve_lock_file(const char *directory)
{
    AUTO_FREE char *path = util_format("%s/lock.mdb", directory);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || (fallocate(fd, 0, 0, LOCK_BYTES) && errno != EOPNOTSUPP))
        return errno;
    return 0;
}

static int open_environment(store_t *self, const char *path, unsigned flags)
{
    int error = mdb_env_create(&self->env);
    if (!error && !(flags & MDB_NOLOCK))
        error = reserve_lock_file(path);
    if (!error)
        error = mdb_env_set_maxdbs(self->env, TABLE_COUNT);
    if (!error)
        error = mdb_env_set_mapsize(self->env, self->map_size);
    /* NOTLS: read transactions belong to their object, not to the thread. NORDAHEAD keeps pages
     * nobody asked for out of our resident set. */
    if (!error)
        error = mdb_env_open(self->env, path, flags | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (!error && !(flags & MDB_NOLOCK))
        store_drop_readers(self);
    return error;
}

static store_t *store_new(const char *path, size_t map_size, size_t map_max)
{
    store_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->path = util_strdup(path);
    self->map_size = map_size;
    self->map_max = map_max;
    self->cache = cache_new();
    return self;
}

/* Opens what `self` stands for; destroys it when that fails. */
static void open_all(store_t **self_p, unsigned flags, status_t *st)
{
    store_t *self = *self_p;
    int error = open_environment(self, self->path, flags);
    while (!error && (error = open_tables(self)) == MDB_MAP_FULL && !store_grow(self))
        error = 0;
    if (!error)
        error = read_seal(self);
    if (error) {
        store_status(self, store_error(self, error), st);
        status_wrap(st, "open");
        store_destroy(self_p);
        return;
    }
    MDB_envinfo info;
    mdb_env_info(self->env, &info);
    self->map_size = info.me_mapsize; /* larger than asked for when the file already is */
}

/* The last one opened in a directory. */
static char suspect_path[PATH_MAX];

void store_suspect(void)
{
    int fd = suspect_path[0] ? open(suspect_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
}

store_t *store_open(const char *path, size_t map_size, size_t map_max, status_t *st)
{
    if (make_directories(path, st))
        return NULL;
    store_t *self = store_new(path, map_size, map_max);
    if (salvage_prepare(path, &self->report, st)) {
        store_destroy(&self);
        return NULL;
    }
    open_all(&self, 0, st);
    for (size_t i = 0; self && i < self->report.lost_count; i++)
        store_note_lost(self, self->report.lost[i].table, self->report.lost[i].key.bytes,
                        self->report.lost[i].key.size);
    snprintf(suspect_path, sizeof suspect_path, "%s/%s", path, SALVAGE_SUSPECT);
    return self;
}

store_t *store_create(const char *path, size_t map_size, status_t *st)
{
    store_t *self = store_new(path, map_size, map_size);
    self->is_single_file = true;
    open_all(&self, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, st);
    return self;
}

int store_flush(store_t *self)
{
    return mdb_env_sync(self->env, 1);
}

const salvage_report_t *store_report(const store_t *self)
{
    return &self->report;
}

void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    if (!self)
        return;
    if (self->env)
        mdb_env_close(self->env);
    cache_destroy(&self->cache);
    free(self->path);
    free(self);
    *self_p = NULL;
}

int store_grow(store_t *self)
{
    if (self->map_size > self->map_max / 2)
        return MDB_MAP_FULL;
    int error = mdb_env_set_mapsize(self->env, self->map_size * 2);
    if (error)
        return error;
    self->map_size *= 2;
    log_debug("store: map grown to %zu MiB", self->map_size >> 20);
    return 0;
}

size_t store_map_size(const store_t *self)
{
    return self->map_size;
}

uint64_t store_journal_last(const store_t *self)
{
    return self->journal_last;
}

void store_set_journal_last(store_t *self, uint64_t last)
{
    self->journal_last = last;
}

const char *store_path(const store_t *self)
{
    return self->path;
}

typedef struct reading {
    store_reader_t *readers;
    size_t count;
} reading_t;

/* A line of LMDB's table of readers: process, thread and, unless it is idle, transaction. */
static int take_reader(const char *line, void *arg)
{
    reading_t *self = arg;
    int pid;
    unsigned long long txn;
    if (self->count < STORE_READERS_MAX && sscanf(line, "%d %*x %llu", &pid, &txn) == 2 &&
        pid != getpid())
        self->readers[self->count++] = (store_reader_t){.pid = pid, .txn = txn};
    return 0;
}

size_t store_readers(store_t *self, store_reader_t ret[STORE_READERS_MAX])
{
    reading_t reading = {.readers = ret};
    mdb_reader_list(self->env, take_reader, &reading);
    return reading.count;
}

/* Damaged records -------------------------------------------------------------------------------
 */

const store_lost_t *store_lost(const store_t *self, size_t *ret_count)
{
    *ret_count = self->lost_count;
    return self->lost;
}

void store_note_lost(store_t *self, table_t table, const void *key, size_t size)
{
    cache_doubt(self->cache, table, key, size);
    if (self->lost_count == STORE_LOST_MAX || size > STORE_KEY_MAX)
        return;
    for (size_t i = 0; i < self->lost_count; i++)
        if (self->lost[i].table == table && self->lost[i].key.size == size &&
            !memcmp(self->lost[i].key.bytes, key, size))
            return;
    store_lost_t *lost = &self->lost[self->lost_count++];
    *lost = (store_lost_t){.table = table, .key = {.size = size}};
    memcpy(lost->key.bytes, key, size);
    log_error("store: a record of table %s is damaged", tables[table].name);
}

void store_forget_lost(store_t *self, size_t count)
{
    self->lost_count -= count;
    memmove(self->lost, self->lost + count, self->lost_count * sizeof *self->lost);
}
