/* LMDB's data file read without LMDB. */
#include "workers/metadata/mdb_file.h"

#include "common/util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC       0xBEEFC0DEu
#define VERSION     1u
#define META        8u
#define NODE_HEAD   8
#define POINTER     sizeof(uint16_t)
#define BIG_SIZE    sizeof(uint64_t)
#define BIG_MAX     (64ull << 20) /* bytes; no record comes near */
#define DEPTH_MAX   32            /* LMDB's own limit of a cursor */
#define FREE_FLAGS  8u            /* integer keys */
#define SINGLE_FILE 0x4000u       /* of an environment that was made without a directory */
#define FLAGS_AT    10
#define LOWER_AT    12
#define UPPER_AT    14
#define OVERFLOW_AT 12

/* As stored, behind the head of its page. */
typedef struct meta {
    uint32_t magic, version;
    uint64_t address, map_size;
    mdb_file_tree_t trees[2];
    uint64_t last_page, txn;
} meta_t;

static uint16_t short_at(const uint8_t *page, size_t at)
{
    uint16_t value;
    memcpy(&value, page + at, sizeof value);
    return value;
}

uint64_t mdb_file_number(const uint8_t *page)
{
    uint64_t value;
    memcpy(&value, page, sizeof value);
    return value;
}

unsigned mdb_file_flags(const uint8_t *page)
{
    return short_at(page, FLAGS_AT);
}

uint32_t mdb_file_overflow(const uint8_t *page)
{
    uint32_t value;
    memcpy(&value, page + OVERFLOW_AT, sizeof value);
    return value;
}

bool mdb_file_read(const mdb_file_t *self, uint64_t page, uint8_t ret[MDB_FILE_PAGE])
{
    return page < self->pages &&
           pread(self->fd, ret, MDB_FILE_PAGE, (off_t)(page * MDB_FILE_PAGE)) == MDB_FILE_PAGE;
}

uint8_t *mdb_file_read_big(const mdb_file_t *self, uint64_t page, uint64_t size)
{
    if (page >= self->pages || size > BIG_MAX)
        return NULL;
    uint8_t *data = malloc(size + 1);
    if (!data)
        abort();
    off_t at = (off_t)(page * MDB_FILE_PAGE + MDB_FILE_OVERHEAD);
    if (pread(self->fd, data, size, at) == (ssize_t)size)
        return data;
    free(data);
    return NULL;
}

static mdb_file_meta_t read_meta(const mdb_file_t *self, uint64_t number)
{
    uint8_t page[MDB_FILE_PAGE];
    meta_t stored;
    if (!mdb_file_read(self, number, page))
        return (mdb_file_meta_t){.is_good = false};
    memcpy(&stored, page + MDB_FILE_OVERHEAD, sizeof stored);
    mdb_file_meta_t meta = {.free = stored.trees[0],
                            .main = stored.trees[1],
                            .last_page = stored.last_page,
                            .txn = stored.txn};
    meta.is_good =
        mdb_file_number(page) == number && mdb_file_flags(page) == META && stored.magic == MAGIC &&
        stored.version == VERSION && !stored.address && meta.free.pad == MDB_FILE_PAGE &&
        (meta.free.flags & ~SINGLE_FILE) == FREE_FLAGS && !meta.main.pad && !meta.main.flags &&
        meta.free.depth <= DEPTH_MAX && meta.main.depth <= DEPTH_MAX &&
        meta.last_page < UINT32_MAX && (!meta.txn || meta.txn % MDB_FILE_METAS == number);
    return meta;
}

void mdb_file_read_metas(mdb_file_t *self)
{
    struct stat info;
    self->pages = fstat(self->fd, &info) ? 0 : (uint64_t)info.st_size / MDB_FILE_PAGE;
    for (uint64_t i = 0; i < MDB_FILE_METAS; i++)
        self->metas[i] = read_meta(self, i);
}

mdb_file_t mdb_file_open(const char *path)
{
    mdb_file_t self = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (self.fd >= 0)
        mdb_file_read_metas(&self);
    return self;
}

void mdb_file_close(mdb_file_t *self)
{
    util_close(&self->fd);
}

/* Nodes -----------------------------------------------------------------------------------------
 */

size_t mdb_file_used(const uint8_t *page)
{
    return MDB_FILE_PAGE - short_at(page, UPPER_AT);
}

static bool is_pointer(size_t pointer, size_t count)
{
    return pointer % 2 == 0 && pointer >= MDB_FILE_OVERHEAD + count * POINTER &&
           pointer + NODE_HEAD <= MDB_FILE_PAGE;
}

size_t mdb_file_count(const uint8_t *page, bool *is_good)
{
    size_t lower = short_at(page, LOWER_AT), upper = short_at(page, UPPER_AT);
    if (lower >= MDB_FILE_OVERHEAD && lower % 2 == 0 && lower <= upper && upper <= MDB_FILE_PAGE)
        return (lower - MDB_FILE_OVERHEAD) / POINTER;
    if (is_good)
        *is_good = false;
    size_t count = 0;
    while (MDB_FILE_OVERHEAD + (count + 1) * POINTER < MDB_FILE_PAGE &&
           is_pointer(short_at(page, MDB_FILE_OVERHEAD + count * POINTER), count + 1))
        count++;
    return count;
}

/* Space of a leaf's node behind its key; false when it cannot be one. */
static bool read_leaf(const uint8_t *at, size_t room, mdb_file_node_t *ret)
{
    size_t key_size = ret->key.size, inline_size = ret->data_size;
    if (ret->flags == MDB_FILE_BIG)
        inline_size = BIG_SIZE;
    else if (ret->flags && (ret->flags != MDB_FILE_TREE || inline_size != sizeof(mdb_file_tree_t)))
        return false;
    if (inline_size > room || key_size > room - inline_size)
        return false;
    ret->data = (msg_bytes_t){.data = at + NODE_HEAD + key_size, .size = inline_size};
    if (ret->flags == MDB_FILE_BIG)
        memcpy(&ret->page, ret->data.data, sizeof ret->page);
    ret->space = NODE_HEAD + key_size + inline_size;
    return true;
}

bool mdb_file_node(const uint8_t *page, size_t index, size_t count, bool is_branch,
                   mdb_file_node_t *ret)
{
    size_t pointer = short_at(page, MDB_FILE_OVERHEAD + index * POINTER);
    if (!is_pointer(pointer, count))
        return false;
    const uint8_t *at = page + pointer;
    size_t room = MDB_FILE_PAGE - pointer - NODE_HEAD;
    uint16_t low = short_at(at, 0), high = short_at(at, 2), flags = short_at(at, 4);
    *ret = (mdb_file_node_t){.key = {.data = at + NODE_HEAD, .size = short_at(at, 6)}};
    if (ret->key.size > MDB_FILE_KEY_MAX || ret->key.size > room)
        return false;
    bool is_node = true;
    if (is_branch) {
        ret->page = low | (uint64_t)high << 16 | (uint64_t)flags << 32;
        ret->space = NODE_HEAD + ret->key.size;
    } else {
        ret->flags = flags;
        ret->data_size = low | (uint64_t)high << 16;
        is_node = ret->key.size && read_leaf(at, room, ret);
    }
    ret->space += ret->space % 2;
    return is_node;
}
