/* The store's file before LMDB gets to see it. */
#include "workers/metadata/salvage.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SLACK 1024 /* pages at the end of the file that LMDB counted and never wrote */

/* Roots ------------------------------------------------------------------------------------------
 */

/* Whose state a meta page leads to: the seal tells, or the page itself where there is none. */
typedef struct state {
    survey_root_t root;
    uint64_t txn;
    bool is_meta; /* nothing is wrong with the meta page itself */
    bool is_good; /* nor with what it leads to */
    bool has_seal;
} state_t;

static state_t state_of(const mdb_file_t *file, size_t index)
{
    const mdb_file_meta_t *meta = &file->metas[index];
    survey_t survey = {
        .file = file, .root = survey_root_of(meta), .budget = UINT64_MAX, .seeks_seal = true};
    survey_walk(&survey);
    survey_clear(&survey);
    state_t state = {.root = survey.root, .txn = meta->txn};
    state.has_seal = survey.has_seal && survey.seal.txn;
    state.is_meta = meta->is_good && meta->last_page < file->pages + SLACK;
    state.is_good = state.is_meta &&
                    (state.has_seal ? survey.seal.txn == meta->txn
                                    : survey.has_seal_key || survey_is_root(file, &meta->main));
    if (state.has_seal)
        state.txn = survey.seal.txn;
    state.root.txn = state.txn;
    return state;
}

/* Of the newest transaction the list of tables is lost and nothing else is: which pages are in use
 * is known, and what is on them is found without any tree. */
static bool lacks_tables(const mdb_file_t *file, const state_t *newest, const state_t *other)
{
    return newest->is_meta && other->is_good && newest->txn == other->txn + 1 &&
           survey_has_free(file, &newest->root);
}

bool salvage_root(const mdb_file_t *file, survey_root_t *ret, char why[SURVEY_FLAW_SIZE])
{
    state_t states[MDB_FILE_METAS] = {state_of(file, 0), state_of(file, 1)};
    bool is_pair = states[0].is_good && states[1].is_good;
    const state_t *newest = &states[states[1].txn > states[0].txn];
    const state_t *other = &states[newest == &states[0]];
    why[0] = '\0';
    if (is_pair && (newest->txn == other->txn + 1 || (!newest->txn && !other->txn))) {
        *ret = newest->root;
        return true;
    }
    snprintf(why, SURVEY_FLAW_SIZE, "a meta page is damaged");
    /* A number that nothing confirms may be any. */
    const state_t *bare = NULL;
    if (!newest->is_good && !newest->has_seal) {
        const state_t *swap = newest;
        if (lacks_tables(file, newest, other))
            bare = newest;
        newest = other;
        other = swap;
    }
    bool has_root = newest->is_good || newest->has_seal;
    *ret = newest->root;
    uint64_t after = has_root ? newest->txn : 0;
    survey_root_t found;
    if (survey_find_root(file, after, has_root ? after + 1 : UINT64_MAX, &found)) {
        *ret = found;
        has_root = true;
    } else if (bare) {
        snprintf(why, SURVEY_FLAW_SIZE, "the list of tables is lost");
        *ret = bare->root;
        ret->main.root = MDB_FILE_NONE; /* it may lead anywhere */
    }
    return has_root;
}

bool salvage_survey(const char *path, mdb_file_t *file, survey_t *survey)
{
    char why[SURVEY_FLAW_SIZE];
    *file = mdb_file_open(path);
    survey->file = file;
    if (file->fd < 0)
        return false;
    if (salvage_root(file, &survey->root, why))
        survey_walk(survey);
    if (why[0]) {
        survey->flaws++;
        memcpy(survey->flaw, why, sizeof survey->flaw);
    }
    return true;
}

/* Files ------------------------------------------------------------------------------------------
 */

/* When it was set aside, as its name says. */
static unsigned long long time_of(const char *name)
{
    return strtoull(name + strcspn(name, "0123456789"), NULL, 10);
}

static void keep_few(const char *directory)
{
    char oldest[NAME_MAX + 1] = "";
    int count = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (strncmp(entry->d_name, SALVAGE_ASIDE, strlen(SALVAGE_ASIDE)))
            continue;
        count++;
        if (!oldest[0] || time_of(entry->d_name) < time_of(oldest))
            snprintf(oldest, sizeof oldest, "%s", entry->d_name);
    }
    if (dir)
        closedir(dir);
    AUTO_FREE char *path = util_format("%s/%s", directory, oldest);
    if (count >= SALVAGE_KEPT && !unlink(path))
        keep_few(directory);
}

status_code_t salvage_sync(const char *path, status_t *st)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        return status_errno(st, errno, "sync %s", path);
    return STATUS_OK;
}

status_code_t salvage_replace(const char *directory, const char *new_path, const char *aside,
                              status_t *st)
{
    AUTO_FREE char *data = util_format("%s/%s", directory, SALVAGE_DATA);
    AUTO_FREE char *kept = util_format("%s/%s", directory, aside);
    AUTO_FREE char *lock = util_format("%s/lock.mdb", directory);
    keep_few(directory);
    if (salvage_sync(new_path, st))
        return st->code;
    if (link(data, kept) && errno != ENOENT)
        return status_errno(st, errno, "keep %s as %s", data, aside);
    if (unlink(lock) && errno != ENOENT)
        return status_errno(st, errno, "remove %s", lock);
    if (rename(new_path, data))
        return status_errno(st, errno, "rename %s to %s", new_path, data);
    return salvage_sync(directory, st);
}

/* ------------------------------------------------------------------------------------------------
 */

static void note_lost(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    salvage_report_t *report = arg;
    (void)value;
    if (report->lost_count == STORE_LOST_MAX || key->size > STORE_KEY_MAX)
        return;
    store_lost_t *lost = &report->lost[report->lost_count++];
    *lost = (store_lost_t){.table = table, .key = {.size = key->size}};
    memcpy(lost->key.bytes, key->data, key->size);
}

static status_code_t rebuild(const char *directory, const mdb_file_t *file,
                             const survey_root_t *root, salvage_report_t *report, status_t *st)
{
    AUTO_FREE char *made = util_format("%s/%s", directory, SALVAGE_NEW);
    snprintf(report->aside, sizeof report->aside, SALVAGE_ASIDE "%lld.mdb",
             (long long)util_now_ms());
    report->lost_count = 0; /* they do not come along */
    report->is_rebuilt = true;
    if (unlink(made) && errno != ENOENT)
        return status_errno(st, errno, "remove %s", made);
    if (salvage_copy(file, root, made, report->why, report, st) ||
        salvage_replace(directory, made, report->aside, st)) {
        status_wrap(st, "salvage");
        unlink(made);
        return st->code;
    }
    log_error("store: damaged: %s; made anew with %llu records, at least %llu are lost; the "
              "damaged file is %s",
              report->why, (unsigned long long)report->records, (unsigned long long)report->damaged,
              report->aside);
    return STATUS_OK;
}

static status_code_t look_over(const char *directory, const char *data, bool is_suspect,
                               salvage_report_t *ret, status_t *st)
{
    mdb_file_t file;
    survey_t survey = {
        .budget = is_suspect ? UINT64_MAX : SALVAGE_BUDGET, .lost = note_lost, .arg = ret};
    if (!salvage_survey(data, &file, &survey))
        return status_errno(st, errno, "open %s", data);
    ret->records = survey_total(survey.records);
    ret->damaged = survey_total(survey.damaged);
    memcpy(ret->why, survey.flaw, sizeof ret->why);
    survey_clear(&survey);
    st->code = STATUS_OK;
    if (survey.flaws)
        rebuild(directory, &file, &survey.root, ret, st);
    mdb_file_close(&file);
    return st->code;
}

/* LMDB wrote the first of its pages, and died, or had no room for the other one. */
static bool is_unmade(const char *data)
{
    mdb_file_t file = mdb_file_open(data);
    bool has_first = file.fd >= 0 && file.pages == 1 && file.metas[0].is_good;
    mdb_file_close(&file);
    return has_first && file.metas[0].txn == 0;
}

status_code_t salvage_prepare(const char *directory, salvage_report_t *ret, status_t *st)
{
    AUTO_FREE char *data = util_format("%s/%s", directory, SALVAGE_DATA);
    AUTO_FREE char *suspect = util_format("%s/%s", directory, SALVAGE_SUSPECT);
    struct stat info;
    bool is_suspect = !access(suspect, F_OK);
    *ret = (salvage_report_t){.is_rebuilt = false};
    status_clear(st);
    /* LMDB begins anew in an empty file. */
    if (stat(data, &info))
        return errno == ENOENT ? STATUS_OK : status_errno(st, errno, "stat %s", data);
    if (is_unmade(data))
        return unlink(data) ? status_errno(st, errno, "remove %s", data) : STATUS_OK;
    if (is_suspect)
        log_warn("store: the last life may have died of it: all of it is looked over");
    if (info.st_size && look_over(directory, data, is_suspect, ret, st))
        return st->code;
    if (is_suspect && unlink(suspect))
        return status_errno(st, errno, "remove %s", suspect);
    return STATUS_OK;
}
