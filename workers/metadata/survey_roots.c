/* Where the trees of LMDB's data file begin. */
#include "workers/metadata/survey_internal.h"

survey_root_t survey_root_of(const mdb_file_meta_t *meta)
{
    return (survey_root_t){.main = meta->main,
                           .free = meta->free,
                           .last_page = meta->last_page,
                           .txn = meta->txn,
                           .has_free = true};
}

/* The page is the list of tables, which has always been one leaf. */
static bool lists_tables(const uint8_t *page)
{
    bool is_good = true;
    size_t count = mdb_file_count(page, &is_good), known = 0;
    if (!is_good || mdb_file_flags(page) != MDB_FILE_LEAF)
        return false;
    for (size_t i = 0; i < count; i++) {
        mdb_file_node_t node;
        if (mdb_file_node(page, i, count, false, &node) && node.flags == MDB_FILE_TREE &&
            survey_table_named(&node.key) < TABLE_COUNT)
            known++;
    }
    return known == count && known > 0;
}

bool survey_is_root(const mdb_file_t *file, const mdb_file_tree_t *main)
{
    uint8_t page[MDB_FILE_PAGE];
    return main->root == MDB_FILE_NONE ||
           (mdb_file_read(file, main->root, page) && mdb_file_number(page) == main->root &&
            lists_tables(page));
}

bool survey_find_root(const mdb_file_t *file, uint64_t after, uint64_t at_most, survey_root_t *ret)
{
    bool found = false;
    for (uint64_t number = SURVEY_FIRST_PAGE; number < file->pages; number++) {
        uint8_t page[MDB_FILE_PAGE];
        if (!mdb_file_read(file, number, page) || mdb_file_number(page) != number ||
            !lists_tables(page))
            continue;
        survey_t survey = {.file = file, .budget = UINT64_MAX};
        survey.root.main = (mdb_file_tree_t){
            .depth = 1, .leaves = 1, .entries = mdb_file_count(page, NULL), .root = number};
        survey.root.last_page = file->pages - 1;
        survey_walk(&survey);
        survey_clear(&survey);
        if (!survey.has_seal || survey.flaws || survey.seal.txn <= after ||
            survey.seal.txn > at_most)
            continue;
        after = survey.seal.txn;
        survey.root.txn = after;
        *ret = survey.root;
        found = true;
    }
    return found;
}

bool survey_has_free(const mdb_file_t *file, const survey_root_t *root)
{
    survey_t survey = {.file = file, .root = *root, .budget = UINT64_MAX};
    survey.root.main = (mdb_file_tree_t){.root = MDB_FILE_NONE};
    survey_walk(&survey);
    survey_clear(&survey);
    return !survey.flaws && survey.root.has_free;
}
