/* A look at everything in LMDB's data file, without LMDB: each tree is walked, each page and each
 * record checked. What is damaged is told and passed by; nothing of it can stop the walk. */
#ifndef SHIMD_METADATA_SURVEY_H
#define SHIMD_METADATA_SURVEY_H

#include "workers/metadata/mdb_file.h"
#include "workers/metadata/store.h"

#define SURVEY_FLAW_SIZE 160

typedef struct survey_root {
    mdb_file_tree_t main, free; /* `free` with root MDB_FILE_NONE and depth 1 when not known */
    uint64_t last_page, txn;
    bool has_free; /* the list of free pages is known */
} survey_root_t;

typedef struct survey survey_t;

/* A whole record. Both are valid during the call. */
typedef void survey_record_t(void *arg, table_t table, const msg_bytes_t *key,
                             const msg_bytes_t *value);

struct survey {
    const mdb_file_t *file;
    survey_root_t root;
    uint64_t budget;                /* pages to look at, at most */
    bool seeks_seal;                /* only the table that has the seal is walked */
    survey_record_t *record, *lost; /* may be NULL; a lost one may have another key than it had */
    void *arg;

    uint64_t looked_at;
    uint64_t records[TABLE_COUNT], damaged[TABLE_COUNT];
    uint64_t flaws;              /* of the structure: LMDB must not be trusted with it */
    char flaw[SURVEY_FLAW_SIZE]; /* the first one */
    bool is_partial;             /* the budget did not reach */
    bool has_seal_key, has_seal; /* there is such a record; it is whole */
    store_seal_t seal;
    uint8_t *seen, *unused; /* bits by page: in a tree; in the list of free pages */
    uint64_t bits;
    mdb_file_tree_t journal;
    uint64_t walked_entries, walked[3]; /* of the tree at hand: branches, leaves, overflows */
};

/* The fields before the empty line are the caller's; the others are filled in. */
void survey_walk(survey_t *self);

/* After survey_walk: gives `record` what is on pages that no tree reaches any more although they
 * are not free. Where free pages are not known only what never changes is taken, because it may be
 * an old state. */
void survey_orphans(survey_t *self);

/* After survey_walk: the seal of the newest transaction, `at_most` or an earlier one, that is
 * anywhere: in a tree, on pages that none reaches, on free ones. `txn` 0 when there is none. */
store_seal_t survey_newest_seal(const survey_t *self, uint64_t at_most);

bool survey_is_seal(table_t table, const msg_bytes_t *key);
void survey_clear(survey_t *self);
uint64_t survey_total(const uint64_t counts[TABLE_COUNT]);

survey_root_t survey_root_of(const mdb_file_meta_t *meta);

/* There is a list of tables where the tree begins, or none at all yet. */
bool survey_is_root(const mdb_file_t *file, const mdb_file_tree_t *main);

/* The list of free pages is there and whole. */
bool survey_has_free(const mdb_file_t *file, const survey_root_t *root);

/* The root that transaction `at_most` or an earlier one left, found without the meta pages: the
 * newest that is whole. False when there is none after `after`. */
bool survey_find_root(const mdb_file_t *file, uint64_t after, uint64_t at_most, survey_root_t *ret);

#endif
