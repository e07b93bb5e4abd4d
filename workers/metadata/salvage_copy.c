/* All whole records of a store's file into a new one. */
#include "workers/metadata/salvage.h"

#include "common/util.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/store_internal.h"

#include <string.h>

#define AT_ONCE  4096 /* records in a transaction */
#define LOST_MAX 4096 /* events whose damaged records still tell their numbers */
#define MAP_ROOM ((size_t)64 << 20)

typedef struct copy {
    store_t *to;
    txn_t *txn;
    int error;
    size_t waiting;
    bool is_orphaned; /* records that no tree reached come now */
    uint64_t last;    /* of the journal; 0 when that is not known */
    uint64_t records;
    uint64_t lost[LOST_MAX];
    size_t lost_count;
} copy_t;

static void finish(copy_t *self)
{
    news_t *news = NULL;
    int error = self->txn ? txn_commit(&self->txn, &news) : 0;
    news_destroy(&news);
    self->waiting = 0;
    if (!self->error)
        self->error = error;
}

static bool begin(copy_t *self)
{
    if (self->waiting >= AT_ONCE)
        finish(self);
    if (!self->error && !self->txn)
        self->txn = txn_write(self->to, &self->error);
    return !self->error;
}

static void copy_record(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    copy_t *self = arg;
    msg_bytes_t there;
    if (survey_is_seal(table, key) || !begin(self))
        return;
    if (self->is_orphaned) {
        uint64_t seq = 0;
        if (table == TABLE_JOURNAL && key->size == sizeof seq)
            memcpy(&seq, key->data, sizeof seq);
        if (txn_get(self->txn, table, key->data, key->size, &there) ||
            (self->last && seq > self->last))
            return;
    }
    txn_put(self->txn, table, key->data, key->size, value->data, value->size);
    self->records++;
    self->waiting++;
}

static void note_event(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    copy_t *self = arg;
    (void)value;
    if (table == TABLE_JOURNAL && key->size == sizeof self->lost[0] && self->lost_count < LOST_MAX)
        memcpy(&self->lost[self->lost_count++], key->data, key->size);
}

/* What is derived from other records is made again, and each lost event gets a mark. */
static void mend(copy_t *self, const char *why, const salvage_report_t *report)
{
    finish(self);
    uint64_t first = 0, last = store_journal_last(self->to);
    /* Before the gaps: the oldest event that is known of may be one of them. */
    for (size_t i = 0; i < self->lost_count && begin(self); i++)
        mend_event(self->txn, self->lost[i]);
    while (first <= last && begin(self)) {
        first = mend_gaps(self->txn, first, last, AT_ONCE);
        self->waiting = AT_ONCE;
    }
    if (begin(self)) {
        mend_derived(self->txn);
        mend_tell_salvaged(self->txn, why, self->records, report->damaged, report->aside);
    }
}

/* The newest transaction that may have been committed. */
static uint64_t newest_txn(const survey_t *survey)
{
    uint64_t newest = survey->root.txn;
    for (size_t i = 0; i < MDB_FILE_METAS; i++) {
        const mdb_file_meta_t *meta = &survey->file->metas[i];
        uint64_t txn = meta->is_good ? meta->txn : UINT64_MAX;
        newest = txn > newest ? txn : newest;
    }
    return newest;
}

/* No number is used twice, whatever became of its event: the newest seal tells how far they went,
 * even where it is of a transaction that is lost. */
static void find_orphans(copy_t *self, survey_t *survey, bool is_salvage)
{
    store_seal_t seal = survey->seal;
    if (is_salvage || survey->flaws)
        seal = survey_newest_seal(survey, newest_txn(survey));
    self->last = seal.txn >= survey->root.txn ? seal.last : 0;
    store_set_journal_last(self->to, seal.last);
    self->is_orphaned = true;
    if (survey->flaws)
        survey_orphans(survey);
}

status_code_t salvage_copy(const mdb_file_t *from, const survey_root_t *root, const char *to,
                           const char *why, salvage_report_t *ret, status_t *st)
{
    copy_t copy = {.to = store_create(to, from->pages * MDB_FILE_PAGE * 2 + MAP_ROOM, st)};
    if (!copy.to)
        return st->code;
    survey_t survey = {.file = from,
                       .root = *root,
                       .budget = UINT64_MAX,
                       .record = copy_record,
                       .lost = note_event,
                       .arg = &copy};
    survey_walk(&survey);
    find_orphans(&copy, &survey, why);
    survey_clear(&survey);
    if (survey.flaws && !ret->why[0])
        memcpy(ret->why, survey.flaw, sizeof ret->why);
    ret->damaged = survey_total(survey.damaged);
    ret->records = copy.records;
    if (why)
        mend(&copy, why, ret);
    if (begin(&copy)) /* so that its seal is there even when nothing else is */
        txn_touch(copy.txn);
    finish(&copy);
    if (!copy.error)
        copy.error = store_flush(copy.to);
    store_status(copy.to, copy.error, st);
    store_destroy(&copy.to);
    return st->code;
}
