/* What an operator does with the store's file. */
#include "workers/metadata/upkeep.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(TABLE_COUNT <= UPKEEP_TABLES_MAX, "a report has a row for each table");

static status_code_t judge(const survey_t *survey, status_t *st)
{
    unsigned long long damaged = survey_total(survey->damaged);
    if (survey->flaws)
        return status_set(st, STATUS_DATA_LOSS, "%s; %llu records are damaged", survey->flaw,
                          damaged);
    if (damaged)
        return status_set(st, STATUS_DATA_LOSS, "%llu records are damaged", damaged);
    return STATUS_OK;
}

static void report_on(const survey_t *survey, upkeep_report_t *ret)
{
    ret->count = TABLE_COUNT;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        ret->tables[i].name = store_table_name((table_t)i);
        ret->tables[i].records = survey->records[i];
        ret->tables[i].damaged = survey->damaged[i];
    }
    ret->records = survey_total(survey->records);
    ret->damaged = survey_total(survey->damaged);
    ret->flaws = survey->flaws;
    memcpy(ret->flaw, survey->flaw, sizeof ret->flaw);
}

status_code_t upkeep_check(const char *directory, upkeep_report_t *ret, status_t *st)
{
    snapshot_t snapshot;
    status_clear(st);
    *ret = (upkeep_report_t){.count = 0};
    if (!snapshot_open(&snapshot, directory, st)) {
        survey_t survey = {.file = &snapshot.file, .root = snapshot.root, .budget = UINT64_MAX};
        survey_walk(&survey);
        survey_clear(&survey);
        if (snapshot.why[0]) { /* of the pages that the walk begins behind */
            survey.flaws++;
            memcpy(survey.flaw, snapshot.why, sizeof survey.flaw);
        }
        report_on(&survey, ret);
        judge(&survey, st);
    }
    snapshot_close(&snapshot);
    return st->code;
}

static status_code_t verify(const char *path, status_t *st)
{
    mdb_file_t file;
    survey_t survey = {.budget = UINT64_MAX};
    if (!salvage_survey(path, &file, &survey))
        return status_errno(st, errno, "open %s", path);
    survey_clear(&survey);
    mdb_file_close(&file);
    return judge(&survey, st) ? status_wrap(st, "%s", path) : STATUS_OK;
}

/* What is there is a file. */
static status_code_t check_kind(const char *path, status_t *st)
{
    struct stat file;
    if (!path[0])
        return status_set(st, STATUS_INVALID_ARGUMENT, "the file has no name");
    if (!stat(path, &file) && !S_ISREG(file.st_mode))
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s is not a regular file", path);
    return STATUS_OK;
}

/* A copy that took the place of the store, or of its lock, would part the worker from its file:
 * what it acknowledges from then on would be gone with it. */
static status_code_t check_target(const char *directory, const char *parent, const char *path,
                                  status_t *st)
{
    struct stat store, target;
    if (check_kind(path, st))
        return st->code;
    if (!stat(directory, &store) && !stat(parent, &target) && store.st_dev == target.st_dev &&
        store.st_ino == target.st_ino)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s is in the store's own directory: choose another", path);
    return STATUS_OK;
}

/* An empty file beside `path`, under a name that is nobody else's. NULL when there can be none;
 * the caller frees. */
static char *make_beside(const char *path, status_t *st)
{
    char *made = util_format("%s.XXXXXX", path);
    AUTO_CLOSE int fd = mkostemp(made, O_CLOEXEC);
    if (fd >= 0)
        return made;
    status_errno(st, errno, "make a file beside %s", path);
    free(made);
    return NULL;
}

/* Notes where the copy is, and with the link's own time when it was made. The copy is good without.
 */
static void note_backup(const char *directory, const char *path)
{
    AUTO_FREE char *note = util_format("%s/" SALVAGE_BACKUP, directory);
    AUTO_FREE char *fresh = util_format("%s.new", note);
    AUTO_FREE char *whole = realpath(path, NULL);
    if (!whole || (unlink(fresh) && errno != ENOENT) || symlink(whole, fresh) ||
        rename(fresh, note))
        log_warn("note the backup in %s: %s", note, strerror(errno));
}

/* Under its own name only once it is whole. */
static status_code_t publish(const char *made, const char *path, const char *parent, status_t *st)
{
    if (verify(made, st) || salvage_sync(made, st))
        return st->code;
    if (rename(made, path))
        return status_errno(st, errno, "rename %s to %s", made, path);
    return salvage_sync(parent, st);
}

status_code_t upkeep_backup(const char *directory, const char *path, upkeep_report_t *ret,
                            status_t *st)
{
    snapshot_t snapshot;
    salvage_report_t report = {.is_rebuilt = false};
    AUTO_FREE char *copy = util_strdup(path);
    const char *parent = dirname(copy);
    status_clear(st);
    *ret = (upkeep_report_t){.count = 0};
    if (check_target(directory, parent, path, st))
        return st->code;
    AUTO_FREE char *made = make_beside(path, st);
    if (!made)
        return st->code;
    if (!snapshot_open(&snapshot, directory, st)) {
        memcpy(report.why, snapshot.why, sizeof report.why);
        salvage_copy(&snapshot.file, &snapshot.root, made, NULL, &report, st);
    }
    snapshot_close(&snapshot);
    if (st->code || publish(made, path, parent, st))
        unlink(made);
    else
        note_backup(directory, path);
    *ret = (upkeep_report_t){
        .records = report.records, .damaged = report.damaged, .flaws = report.why[0] != '\0'};
    memcpy(ret->flaw, report.why, sizeof ret->flaw);
    return st->code;
}

/* A copy of the file as the store of `directory`. */
static void put_in_place(const char *directory, const mdb_file_t *file, const survey_root_t *root,
                         status_t *st)
{
    salvage_report_t report = {.is_rebuilt = false};
    AUTO_FREE char *made = util_format("%s/%s", directory, SALVAGE_NEW);
    AUTO_FREE char *aside =
        util_format("%sreplaced-%lld.mdb", SALVAGE_ASIDE, (long long)util_now_ms());
    if (unlink(made) && errno != ENOENT) {
        status_errno(st, errno, "remove %s", made);
        return;
    }
    if (!salvage_copy(file, root, made, NULL, &report, st) && !verify(made, st))
        salvage_replace(directory, made, aside, st);
    if (st->code)
        unlink(made);
}

status_code_t upkeep_restore(const char *directory, const char *path, status_t *st)
{
    mdb_file_t file;
    survey_t survey = {.budget = UINT64_MAX};
    status_clear(st);
    if (snapshot_is_in_use(directory))
        return status_set(st, STATUS_FAILED_PRECONDITION, "a cluster works on %s: stop it first",
                          directory);
    if (check_kind(path, st))
        return st->code;
    if (!salvage_survey(path, &file, &survey))
        return status_errno(st, errno, "open %s", path);
    survey_clear(&survey);
    if (judge(&survey, st))
        status_wrap(st, "%s", path);
    else if (mkdir(directory, 0700) && errno != EEXIST)
        status_errno(st, errno, "mkdir %s", directory);
    else
        put_in_place(directory, &file, &survey.root, st);
    mdb_file_close(&file);
    return st->code;
}
