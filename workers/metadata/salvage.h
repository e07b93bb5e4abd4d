/* The store's file before LMDB gets to see it: looked over, and where its structure is damaged made
 * anew from all records that are whole. */
#ifndef SHIMD_METADATA_SALVAGE_H
#define SHIMD_METADATA_SALVAGE_H

#include "workers/metadata/survey.h"

#define SALVAGE_DATA    "data.mdb"
#define SALVAGE_NEW     "data.mdb.new"
#define SALVAGE_SUSPECT "suspect"  /* there while the file must be looked over as a whole */
#define SALVAGE_ASIDE   "damaged-" /* files that were replaced; ms since the epoch end the name */
#define SALVAGE_KEPT    3          /* of them */
#define SALVAGE_BACKUP  "last-backup" /* link to the last copy, made with it */

/* Pages looked at when nothing is suspected: 64 MiB, so that the first answer does not wait for as
 * long as the journal is large. Everything but the journal comes first, then its newest events. */
#define SALVAGE_BUDGET 16384

typedef struct salvage_report {
    bool is_rebuilt;
    uint64_t records, damaged;  /* whole ones, and those that are lost, as far as was looked */
    char why[SURVEY_FLAW_SIZE]; /* the flaw; "" when there is none */
    char aside[64];             /* name the damaged file has now, in the same directory */
    store_lost_t lost[STORE_LOST_MAX]; /* damaged ones that are in the file still */
    size_t lost_count;
} salvage_report_t;

/* Judges the file `path` as it is. False when it cannot be read. `survey` has its callbacks and
 * budget set; the caller clears it. Its flaws count those of the meta pages too. */
bool salvage_survey(const char *path, mdb_file_t *file, survey_t *survey);

/* Looks over SALVAGE_DATA in `directory`, as a whole when it is suspected, and makes it anew if it
 * must be. What was wrong is in the log, and in the journal of the new one. OK when LMDB may open
 * it. Blocks. */
status_code_t salvage_prepare(const char *directory, salvage_report_t *ret, status_t *st);

/* Copies all whole records of `from` into a new file `to`, durable when this returns OK. With the
 * reason `why`, NULL for a plain copy, lost events get their places back as marks and the journal
 * tells of it. Damage to the structure of `from` is in the report's `why`. */
status_code_t salvage_copy(const mdb_file_t *from, const survey_root_t *root, const char *to,
                           const char *why, salvage_report_t *ret, status_t *st);

/* The state of the newest transaction, whichever meta page is damaged. False when none is left. */
bool salvage_root(const mdb_file_t *file, survey_root_t *ret, char why[SURVEY_FLAW_SIZE]);

/* Makes `new_path` durable and puts it in the place of `path`, which is kept as `aside`. LMDB's
 * lock file in the same directory, which belongs to the old one, goes. */
status_code_t salvage_replace(const char *directory, const char *new_path, const char *aside,
                              status_t *st);

/* Makes a file, or the names in a directory, durable. */
status_code_t salvage_sync(const char *path, status_t *st);

#endif
