/* A look at everything in LMDB's data file. */
#include "workers/metadata/survey_internal.h"

#include "common/util.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 32

typedef enum tree_kind { TREE_TABLE, TREE_MAIN, TREE_FREE } tree_kind_t;

typedef struct tree {
    tree_kind_t kind;
    table_t table; /* TABLE_COUNT when its name is none */
    mdb_file_tree_t head;
    bool has_numbers;
} tree_t;

static void walk_tree(survey_t *self, const tree_t *tree);

__attribute__((format(printf, 2, 3))) static void flaw(survey_t *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (self->flaws++ == 0)
        vsnprintf(self->flaw, sizeof self->flaw, format, arguments);
    va_end(arguments);
}

static void set_bit(uint8_t *bits, uint64_t page)
{
    bits[page / 8] |= (uint8_t)(1u << page % 8);
}

/* The page belongs to one tree only, and counts as looked at. */
static bool claim(survey_t *self, uint64_t page)
{
    if (self->looked_at >= self->budget)
        self->is_partial = true;
    if (self->is_partial)
        return false;
    if (page < SURVEY_FIRST_PAGE || page > self->root.last_page || page >= self->bits)
        flaw(self, "there is no page %llu", (unsigned long long)page);
    if (page < SURVEY_FIRST_PAGE || page >= self->bits)
        return false;
    if (survey_has_bit(self->seen, page)) {
        flaw(self, "page %llu is in two places", (unsigned long long)page);
        return false;
    }
    set_bit(self->seen, page);
    self->looked_at++;
    return true;
}

/* Records ---------------------------------------------------------------------------------------
 */

static bool is_whole(table_t table, const msg_bytes_t *key, const msg_bytes_t *stored,
                     msg_bytes_t *ret)
{
    uint32_t sum;
    *ret = *stored;
    if (table >= TABLE_COUNT || stored->size < STORE_SUM_SIZE)
        return false;
    ret->size -= STORE_SUM_SIZE;
    memcpy(&sum, stored->data + ret->size, sizeof sum);
    return sum == store_sum(table, key->data, key->size, ret->data, ret->size);
}

table_t survey_find_table(const msg_bytes_t *key, const msg_bytes_t *stored, msg_bytes_t *ret)
{
    table_t table = 0;
    while (table < TABLE_COUNT && !is_whole(table, key, stored, ret))
        table++;
    return table;
}

bool survey_is_seal(table_t table, const msg_bytes_t *key)
{
    size_t size = strlen(STORE_SEAL_KEY);
    return table == TABLE_NS_SEQ && key->size == size && !memcmp(key->data, STORE_SEAL_KEY, size);
}

static void note_seal(survey_t *self, table_t table, const msg_bytes_t *key,
                      const msg_bytes_t *value)
{
    if (!survey_is_seal(table, key))
        return;
    self->has_seal_key = true;
    if (value && value->size == sizeof self->seal) {
        self->has_seal = true;
        memcpy(&self->seal, value->data, sizeof self->seal);
    }
}

static void take(survey_t *self, table_t table, const msg_bytes_t *key, const msg_bytes_t *stored)
{
    msg_bytes_t value;
    bool whole = stored && is_whole(table, key, stored, &value);
    if (stored && !whole && table == TABLE_COUNT) {
        table = survey_find_table(key, stored, &value);
        whole = table < TABLE_COUNT;
    }
    table_t counted = table < TABLE_COUNT ? table : TABLE_JOURNAL;
    note_seal(self, table, key, whole ? &value : NULL);
    if (whole) {
        self->records[counted]++;
        if (self->record)
            self->record(self->arg, table, key, &value);
        return;
    }
    self->damaged[counted]++;
    if (self->lost && table < TABLE_COUNT)
        self->lost(self->arg, table, key, NULL);
}

/* The overflow pages of a node. */
static void claim_big(survey_t *self, const mdb_file_node_t *node)
{
    uint8_t head[MDB_FILE_PAGE];
    uint64_t pages = (MDB_FILE_OVERHEAD + node->data_size + MDB_FILE_PAGE - 1) / MDB_FILE_PAGE;
    bool is_good = mdb_file_read(self->file, node->page, head) &&
                   mdb_file_number(head) == node->page &&
                   mdb_file_flags(head) == MDB_FILE_OVERFLOW && mdb_file_overflow(head) >= pages;
    if (is_good)
        pages = mdb_file_overflow(head);
    else
        flaw(self, "page %llu is no overflow", (unsigned long long)node->page);
    self->walked[2] += pages;
    for (uint64_t i = 0; i < pages && claim(self, node->page + i); i++)
        continue;
}

static void take_big(survey_t *self, table_t table, const mdb_file_node_t *node)
{
    claim_big(self, node);
    if (self->is_partial)
        return;
    AUTO_FREE uint8_t *data = mdb_file_read_big(self->file, node->page, node->data_size);
    msg_bytes_t stored = {.data = data, .size = node->data_size};
    take(self, table, &node->key, data ? &stored : NULL);
}

/* Leaves of the three kinds of trees ------------------------------------------------------------
 */

table_t survey_table_named(const msg_bytes_t *name)
{
    table_t table = 0;
    while (table < TABLE_COUNT && (strlen(store_table_name(table)) != name->size ||
                                   memcmp(store_table_name(table), name->data, name->size)))
        table++;
    return table;
}

static void take_tree(survey_t *self, const mdb_file_node_t *node)
{
    table_t table = survey_table_named(&node->key);
    tree_t tree = {.kind = TREE_TABLE,
                   .table = table,
                   .has_numbers = table < TABLE_COUNT && store_table_has_numbers(table)};
    if (node->flags != MDB_FILE_TREE) {
        flaw(self, "the list of tables has something else in it");
        return;
    }
    if (table == TABLE_COUNT)
        flaw(self, "a table has no name of one");
    if (self->seeks_seal && table != TABLE_NS_SEQ)
        return;
    memcpy(&tree.head, node->data.data, sizeof tree.head);
    if (table == TABLE_JOURNAL)
        self->journal = tree.head;
    if (table < TABLE_COUNT &&
        (tree.head.flags != (tree.has_numbers ? MDB_INTEGERKEY : 0u) || tree.head.pad))
        flaw(self, "table %s has other flags", store_table_name(table));
    if (table != TABLE_JOURNAL)
        walk_tree(self, &tree);
}

/* Page numbers in falling order, with their count before them. */
static void take_free(survey_t *self, const mdb_file_node_t *node)
{
    AUTO_FREE uint8_t *big = NULL;
    const uint8_t *data = node->data.data;
    uint64_t count, number, before = UINT64_MAX;
    if (node->flags == MDB_FILE_BIG) {
        claim_big(self, node);
        data = big = mdb_file_read_big(self->file, node->page, node->data_size);
    }
    bool is_list = data && node->key.size == sizeof number && node->data_size >= sizeof count;
    if (is_list)
        memcpy(&count, data, sizeof count);
    is_list = is_list && count < node->data_size / sizeof count;
    for (uint64_t i = 0; is_list && i < count; i++) {
        memcpy(&number, data + (i + 1) * sizeof number, sizeof number);
        is_list = number < before && number >= SURVEY_FIRST_PAGE && number <= self->root.last_page;
        before = number;
        if (is_list && number < self->bits) {
            is_list = !survey_has_bit(self->unused, number);
            set_bit(self->unused, number);
        }
    }
    if (!is_list && !self->is_partial) {
        self->root.has_free = false;
        flaw(self, "the list of free pages is damaged");
    }
}

static void take_node(survey_t *self, const tree_t *tree, const mdb_file_node_t *node)
{
    self->walked_entries++;
    if (tree->kind == TREE_MAIN)
        take_tree(self, node);
    else if (tree->kind == TREE_FREE)
        take_free(self, node);
    else if (node->flags == MDB_FILE_TREE)
        flaw(self, "a table has a table in it");
    else if (node->flags == MDB_FILE_BIG)
        take_big(self, tree->table, node);
    else
        take(self, tree->table, &node->key, &node->data);
}

/* Pages ------------------------------------------------------------------------------------------
 */

static int compare_keys(const tree_t *tree, const msg_bytes_t *left, const msg_bytes_t *right)
{
    if (tree->has_numbers && left->size == sizeof(uint64_t) && right->size == sizeof(uint64_t)) {
        uint64_t a, b;
        memcpy(&a, left->data, sizeof a);
        memcpy(&b, right->data, sizeof b);
        return a < b ? -1 : a > b;
    }
    size_t size = left->size < right->size ? left->size : right->size;
    int order = memcmp(left->data, right->data, size);
    return order ? order : left->size < right->size ? -1 : left->size > right->size;
}

/* The page says that it is what it should be here. */
static bool has_good_head(const uint8_t *page, uint64_t number, bool is_leaf, size_t count)
{
    return mdb_file_number(page) == number &&
           mdb_file_flags(page) == (is_leaf ? MDB_FILE_LEAF : MDB_FILE_BRANCH) &&
           count >= (is_leaf ? 1u : 2u);
}

/* Nodes behind the last one that the head of a leaf counts, in `space` bytes that it says are used.
 */
static void take_unlisted(survey_t *self, const tree_t *tree, const uint8_t *page, size_t count,
                          size_t space)
{
    mdb_file_node_t node;
    for (size_t i = count; mdb_file_node(page, i, i + 1, false, &node) && node.space <= space &&
                           node.key.data >= page + MDB_FILE_PAGE - mdb_file_used(page);
         i++) {
        take_node(self, tree, &node);
        space -= node.space;
    }
}

/* `low` and `high` are the bounds of its keys, NULL for none. Last ones first: the newest events
 * are seen before a budget ends. */
static void walk_page(survey_t *self, const tree_t *tree, uint64_t number, unsigned level,
                      const msg_bytes_t *low, const msg_bytes_t *high)
{
    uint8_t page[MDB_FILE_PAGE];
    bool is_good = true, is_leaf = level == tree->head.depth;
    size_t space = 0;
    if (!claim(self, number))
        return;
    if (!mdb_file_read(self->file, number, page)) {
        flaw(self, "page %llu is not in the file", (unsigned long long)number);
        return;
    }
    unsigned flags = mdb_file_flags(page);
    if (mdb_file_number(page) == number && (flags == MDB_FILE_LEAF || flags == MDB_FILE_BRANCH))
        is_leaf = flags == MDB_FILE_LEAF; /* the depth may be what is damaged */
    size_t count = mdb_file_count(page, &is_good);
    is_good = is_good && is_leaf == (level == tree->head.depth) &&
              has_good_head(page, number, is_leaf, count);
    self->walked[is_leaf]++;
    msg_bytes_t next = high ? *high : (msg_bytes_t){.data = NULL};
    for (size_t i = count; i-- > 0 && !self->is_partial;) {
        mdb_file_node_t node;
        if (!mdb_file_node(page, i, count, !is_leaf, &node)) {
            is_good = false;
            continue;
        }
        bool has_key = is_leaf || i > 0;
        space += node.space;
        is_good = is_good && (!has_key || !next.data || compare_keys(tree, &node.key, &next) < 0) &&
                  (!has_key || !low || compare_keys(tree, &node.key, low) >= 0);
        if (is_leaf)
            take_node(self, tree, &node);
        else if (level < DEPTH_MAX)
            walk_page(self, tree, node.page, level + 1, has_key ? &node.key : low,
                      next.data ? &next : NULL);
        if (has_key)
            next = node.key;
    }
    if (is_leaf && space < mdb_file_used(page))
        take_unlisted(self, tree, page, count, mdb_file_used(page) - space);
    if (!self->is_partial && (!is_good || space != mdb_file_used(page)))
        flaw(self, "page %llu is damaged", (unsigned long long)number);
}

static void walk_tree(survey_t *self, const tree_t *tree)
{
    const mdb_file_tree_t *head = &tree->head;
    uint64_t outer[3], outer_entries = self->walked_entries, flaws = self->flaws;
    memcpy(outer, self->walked, sizeof outer);
    memset(self->walked, 0, sizeof self->walked);
    self->walked_entries = 0;
    if (head->root != MDB_FILE_NONE)
        walk_page(self, tree, head->root, 1, NULL, NULL);
    else if (head->depth || head->entries)
        flaw(self, "a tree has lost its root");
    bool is_counted = self->walked_entries == head->entries && self->walked[0] == head->branches &&
                      self->walked[1] == head->leaves && self->walked[2] == head->overflows;
    if (!is_counted && flaws == self->flaws && !self->is_partial)
        flaw(self, "a tree has other counts than it says");
    memcpy(self->walked, outer, sizeof outer);
    self->walked_entries = outer_entries;
}

void survey_walk(survey_t *self)
{
    self->bits = self->file->pages;
    self->seen = calloc(1, self->bits / 8 + 1);
    self->unused = calloc(1, self->bits / 8 + 1);
    if (!self->seen || !self->unused)
        abort();
    tree_t free_tree = {.kind = TREE_FREE, .head = self->root.free, .has_numbers = true};
    if (self->root.has_free && !self->seeks_seal) {
        uint64_t flaws = self->flaws;
        walk_tree(self, &free_tree);
        self->root.has_free = self->root.has_free && self->flaws == flaws;
    }
    self->journal.root = MDB_FILE_NONE;
    walk_tree(self, &(tree_t){.kind = TREE_MAIN, .head = self->root.main});
    /* The largest one last: a budget is for the others first. */
    walk_tree(self, &(tree_t){.kind = TREE_TABLE,
                              .table = TABLE_JOURNAL,
                              .head = self->journal,
                              .has_numbers = true});
    for (uint64_t i = 0; i < self->bits / 8 + 1; i++)
        if (self->seen[i] & self->unused[i]) {
            flaw(self, "a page is in use and free");
            break;
        }
}

void survey_clear(survey_t *self)
{
    free(self->seen);
    free(self->unused);
    self->seen = self->unused = NULL;
}

uint64_t survey_total(const uint64_t counts[TABLE_COUNT])
{
    uint64_t total = 0;
    for (size_t i = 0; i < TABLE_COUNT; i++)
        total += counts[i];
    return total;
}
