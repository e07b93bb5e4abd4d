/* What survey.c (trees), survey_orphans.c and survey_roots.c share. */
#ifndef SHIMD_METADATA_SURVEY_INTERNAL_H
#define SHIMD_METADATA_SURVEY_INTERNAL_H

#include "workers/metadata/survey.h"

#define SURVEY_FIRST_PAGE MDB_FILE_METAS /* behind the meta pages */

static inline bool survey_has_bit(const uint8_t *bits, uint64_t page)
{
    return bits[page / 8] & (1u << page % 8);
}

/* TABLE_COUNT when it is none's. */
table_t survey_table_named(const msg_bytes_t *name);

/* The checksum tells which table a record belongs to where that is not known. TABLE_COUNT when it
 * is not whole; else `ret` is the value in front of the checksum. */
table_t survey_find_table(const msg_bytes_t *key, const msg_bytes_t *stored, msg_bytes_t *ret);

#endif
