/* LMDB's data file read page by page without LMDB, which trusts what is in it: a damaged page makes
 * it crash. Whatever is asked for here, the answer stays within the buffer. The format is that of
 * LMDB 0.9 on a machine with 64 bits and little-endian byte order. */
#ifndef SHIMD_METADATA_MDB_FILE_H
#define SHIMD_METADATA_MDB_FILE_H

#include "common/message.h"

#define MDB_FILE_PAGE     4096 /* bytes */
#define MDB_FILE_METAS    2
#define MDB_FILE_KEY_MAX  511
#define MDB_FILE_NONE     UINT64_MAX /* root of an empty tree */
#define MDB_FILE_OVERHEAD 16 /* bytes before the pointers of a page, or an overflow's data */

/* Kinds of pages, as their flags are stored. */
#define MDB_FILE_BRANCH   1u
#define MDB_FILE_LEAF     2u
#define MDB_FILE_OVERFLOW 4u

/* Flags of a leaf's node. */
#define MDB_FILE_BIG  1u /* its data is a page number */
#define MDB_FILE_TREE 2u /* its data is an mdb_file_tree_t */

/* As stored. */
typedef struct mdb_file_tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
} mdb_file_tree_t;

typedef struct mdb_file_meta {
    bool is_good; /* as far as that shows on its page */
    mdb_file_tree_t free, main;
    uint64_t last_page, txn;
} mdb_file_meta_t;

typedef struct mdb_file {
    int fd;
    uint64_t pages; /* whole ones in the file */
    mdb_file_meta_t metas[MDB_FILE_METAS];
} mdb_file_t;

typedef struct mdb_file_node {
    msg_bytes_t key;
    msg_bytes_t data;   /* of a leaf: inline */
    uint64_t data_size; /* of a leaf, where it is big */
    uint64_t page;      /* a branch's child, or where big data begins */
    unsigned flags;     /* of a leaf */
    size_t space;       /* bytes it takes on its page */
} mdb_file_node_t;

/* Opens for reading and reads the meta pages. `fd` is -1, with errno, when that fails. */
mdb_file_t mdb_file_open(const char *path);
void mdb_file_close(mdb_file_t *self);
void mdb_file_read_metas(mdb_file_t *self);

/* False when the file has no such page. */
bool mdb_file_read(const mdb_file_t *self, uint64_t page, uint8_t ret[MDB_FILE_PAGE]);

/* The data behind the head of an overflow page; NULL when the file ends before. The caller frees.
 */
uint8_t *mdb_file_read_big(const mdb_file_t *self, uint64_t page, uint64_t size);

uint64_t mdb_file_number(const uint8_t *page);   /* its own, as it says */
unsigned mdb_file_flags(const uint8_t *page);    /* which kind it is */
uint32_t mdb_file_overflow(const uint8_t *page); /* how many pages an overflow takes */

/* Nodes of a page; where its head is damaged, as many as seem to be there. `is_good`, if not NULL,
 * becomes false in that case. */
size_t mdb_file_count(const uint8_t *page, bool *is_good);
size_t mdb_file_used(const uint8_t *page); /* bytes that nodes take, as the head says */

/* Node `index` of `count`. False when it cannot be one. */
bool mdb_file_node(const uint8_t *page, size_t index, size_t count, bool is_branch,
                   mdb_file_node_t *ret);

#endif
