/* What an operator does with the store's file, in a process of his own: shimctl metadata. */
#ifndef SHIMD_METADATA_UPKEEP_H
#define SHIMD_METADATA_UPKEEP_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

#define UPKEEP_TABLES_MAX 32

typedef struct upkeep_report {
    size_t count; /* of tables; all 0 for a copy */
    struct {
        const char *name;
        uint64_t records, damaged;
    } tables[UPKEEP_TABLES_MAX];
    uint64_t records, damaged, flaws; /* flaws: of the structure */
    char flaw[160];                   /* the first one */
} upkeep_report_t;

/* Reads all of the store in `directory`, also while a worker has it open. DATA_LOSS when anything
 * is damaged; the report is filled in then too. */
status_code_t upkeep_check(const char *directory, upkeep_report_t *ret, status_t *st);

/* Writes the state of one moment to the file `path`, durable and looked over. Damaged records are
 * counted and not in it, nor is what damage to the structure hides; that is no failure.
 * INVALID_ARGUMENT when `path` is in `directory`, or something other than a file. */
status_code_t upkeep_backup(const char *directory, const char *path, upkeep_report_t *ret,
                            status_t *st);

/* Puts such a file in the place of the store, which is kept aside. FAILED_PRECONDITION while
 * somebody has it open, INVALID_ARGUMENT when `path` is something other than a file, DATA_LOSS when
 * anything in it is damaged. */
status_code_t upkeep_restore(const char *directory, const char *path, status_t *st);

#endif
