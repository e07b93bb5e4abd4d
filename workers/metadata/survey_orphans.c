/* What is in LMDB's data file and no tree reaches. */
#include "workers/metadata/survey_internal.h"

#include "common/util.h"

#include <string.h>

/* A whole record, and whose it is. */
typedef void orphan_t(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value);

static void take_node(const survey_t *self, const mdb_file_node_t *node, orphan_t *take, void *arg)
{
    msg_bytes_t stored = node->data, value;
    AUTO_FREE uint8_t *big = NULL;
    if (node->flags == MDB_FILE_BIG) {
        big = mdb_file_read_big(self->file, node->page, node->data_size);
        stored = (msg_bytes_t){.data = big, .size = node->data_size};
    }
    table_t table = stored.data && node->flags != MDB_FILE_TREE
                        ? survey_find_table(&node->key, &stored, &value)
                        : TABLE_COUNT;
    if (table < TABLE_COUNT)
        take(arg, table, &node->key, &value);
}

static void take_page(const survey_t *self, uint64_t number, orphan_t *take, void *arg)
{
    uint8_t page[MDB_FILE_PAGE];
    if (survey_has_bit(self->seen, number) || !mdb_file_read(self->file, number, page))
        return;
    size_t count = mdb_file_count(page, NULL);
    for (size_t i = 0; i < count; i++) {
        mdb_file_node_t node;
        if (mdb_file_node(page, i, count, false, &node))
            take_node(self, &node, take, arg);
    }
}

/* Records ---------------------------------------------------------------------------------------
 */

static void take_current(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    const survey_t *self = arg;
    self->record(self->arg, table, key, value);
}

static void take_constant(void *arg, table_t table, const msg_bytes_t *key,
                          const msg_bytes_t *value)
{
    if (table == TABLE_JOURNAL || table == TABLE_EXITS || table == TABLE_REQUESTS)
        take_current(arg, table, key, value);
}

void survey_orphans(survey_t *self)
{
    for (uint64_t number = SURVEY_FIRST_PAGE; self->record && number < self->bits; number++) {
        bool is_free = self->root.has_free && survey_has_bit(self->unused, number);
        bool is_current = self->root.has_free && number <= self->root.last_page;
        if (!is_free)
            take_page(self, number, is_current ? take_current : take_constant, self);
    }
}

/* Seal ------------------------------------------------------------------------------------------
 */

typedef struct seek {
    uint64_t at_most;
    store_seal_t newest;
} seek_t;

static void take_seal(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    seek_t *self = arg;
    store_seal_t seal;
    if (!survey_is_seal(table, key) || value->size != sizeof seal)
        return;
    memcpy(&seal, value->data, sizeof seal);
    if (seal.txn > self->newest.txn && seal.txn <= self->at_most)
        self->newest = seal;
}

store_seal_t survey_newest_seal(const survey_t *self, uint64_t at_most)
{
    seek_t seek = {.at_most = at_most};
    if (self->has_seal)
        seek.newest = self->seal;
    for (uint64_t number = SURVEY_FIRST_PAGE; number < self->bits; number++)
        take_page(self, number, take_seal, &seek);
    return seek.newest;
}
