/* Copies of a store: made while it is open, put in its place, and what their readers keep it from.
 */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/salvage.h"
#include "workers/metadata/snapshot.h"
#include "workers/metadata/upkeep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NS "default"

static void make_file(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
}

static size_t count_files(const char *path, const char *prefix)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += !strncmp(entry->d_name, prefix, strlen(prefix));
    closedir(dir);
    return count;
}

/* Beside the store that is open, and put in its place once it is not. */
static void test_backup(void **state)
{
    fixture_t *f = *state;
    status_t st;
    upkeep_report_t before, copied, after;
    AUTO_FREE char *path = util_format("%s/backup", f->dir);
    AUTO_FREE char *other = util_format("%s/backup.new", f->dir); /* somebody's */
    fixture_fill(f, NS, 0, 5);
    make_file(other);
    /* A process does not see its own locks, and loses them with any descriptor of the file. */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(upkeep_restore(f->path, path, &st) == STATUS_FAILED_PRECONDITION ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(upkeep_check(f->path, &before, &st), STATUS_OK);
    upkeep_backup(f->path, path, &copied, &st);
    assert_string_equal(st.text, "");
    assert_int_equal(count_files(f->dir, "backup"), 2); /* nothing half done is left */
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(copied.damaged, 0);
    assert_int_not_equal(copied.records, 0);
    fixture_fill(f, NS, 5, 6);
    uint64_t last = store_journal_last(f->store);
    batch_destroy(&f->batch);
    store_destroy(&f->store);
    assert_int_equal(upkeep_restore(f->path, path, &st), STATUS_OK);
    assert_int_equal(upkeep_check(f->path, &after, &st), STATUS_OK);
    assert_int_equal(after.records, before.records);
    f->store = store_open(f->path, STORE_MAP_INITIAL, STORE_MAP_MAX, &st);
    assert_non_null(f->store);
    assert_true(store_journal_last(f->store) && store_journal_last(f->store) < last);
    assert_string_equal(store_report(f->store)->why, "");
}

/* The store would lose its file to the copy. */
static void test_backup_keeps_off_the_store(void **state)
{
    fixture_t *f = *state;
    status_t st;
    upkeep_report_t report;
    struct stat before, after;
    AUTO_FREE char *own = util_format("%s/%s", f->path, SALVAGE_DATA);
    AUTO_FREE char *lock = util_format("%s/lock.mdb", f->path);
    AUTO_FREE char *roundabout = util_format("%s/../%s/new", f->path, strrchr(f->path, '/') + 1);
    const char *const refused[] = {own, lock, roundabout, f->dir, ""};
    assert_int_equal(stat(own, &before), 0);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(upkeep_backup(f->path, refused[i], &report, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(stat(own, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
}

/* Nothing but a whole backup is put in its place, and of what was there before the newest few are
 * kept. */
static void test_restore(void **state)
{
    fixture_t *f = *state;
    status_t st;
    upkeep_report_t report;
    AUTO_FREE char *path = util_format("%s/backup", f->dir);
    AUTO_FREE char *empty = util_format("%s/empty", f->dir);
    const char *const kept[] = {"damaged-replaced-1.mdb", "damaged-2.mdb",
                                "damaged-replaced-3.mdb"};
    make_file(empty);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        AUTO_FREE char *aside = util_format("%s/%s", f->path, kept[i]);
        make_file(aside);
    }
    assert_int_equal(upkeep_backup(f->path, path, &report, &st), STATUS_OK);
    batch_destroy(&f->batch);
    store_destroy(&f->store);
    assert_int_equal(upkeep_restore(f->path, f->dir, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(upkeep_restore(f->path, "", &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(upkeep_restore(f->path, empty, &st), STATUS_DATA_LOSS);
    assert_int_equal(count_files(f->path, SALVAGE_ASIDE), SALVAGE_KEPT);
    assert_int_equal(upkeep_restore(f->path, path, &st), STATUS_OK);
    assert_int_equal(count_files(f->path, SALVAGE_ASIDE), SALVAGE_KEPT);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        assert_int_equal(count_files(f->path, kept[i]), i > 0);
    f->store = store_open(f->path, STORE_MAP_INITIAL, STORE_MAP_MAX, &st);
    assert_non_null(f->store);
}

/* Of a store that is written to there is a copy of one moment or none. */
static void test_no_room_for_a_reader(void **state)
{
    fixture_t *f = *state;
    txn_t *readers[1024];
    status_t st;
    size_t count = 0;
    AUTO_FREE char *path = util_format("%s/backup", f->dir);
    while (count < ARRAY_SIZE(readers) && (readers[count] = txn_read(f->store, &st)))
        count++;
    assert_in_range(count, 1, ARRAY_SIZE(readers) - 1);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        upkeep_report_t report;
        _exit(upkeep_backup(f->path, path, &report, &st) == STATUS_UNAVAILABLE ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(f->dir, "backup"), 0);
    while (count > 0)
        txn_destroy(&readers[--count]);
}

static void committed(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

/* Whatever is written while it is open, what it has is the state of its moment. Waits for a byte
 * before it looks. Never returns. */
static void look_at_snapshot(const fixture_t *f, uint64_t records, int wait_on, int tell)
{
    snapshot_t snapshot;
    status_t st;
    char byte = 0;
    bool is_open = !snapshot_open(&snapshot, f->path, &st) && snapshot.txn;
    if (!is_open || write(tell, &byte, 1) != 1 || read(wait_on, &byte, 1) != 1)
        _exit(2);
    survey_t survey = {.file = &snapshot.file, .root = snapshot.root, .budget = UINT64_MAX};
    survey_walk(&survey);
    bool is_whole =
        !survey.flaws && !survey_total(survey.damaged) && survey_total(survey.records) == records;
    _exit(is_whole ? 0 : 1);
}

/* The same few records in many transactions, each of which leaves the pages of the last one. */
static store_sizes_t write_over(fixture_t *f, int transactions)
{
    static const char *const keys[] = {"pin1", "pin2", "pin3"};
    status_t st;
    store_sizes_t sizes;
    for (int i = 0; i < transactions; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
            batch_add(f->batch, fixture_put_big, committed, (void *)(uintptr_t)keys[k]);
        batch_commit(f->batch);
    }
    AUTO(txn)
    txn = txn_read(f->store, &st);
    assert_non_null(txn);
    txn_measure(txn, &sizes);
    return sizes;
}

/* Pages that a reader may look at are not written to while it is there; once it is gone they are
 * used again, and the file grows no more. */
static void test_pages_of_a_reader_stay(void **state)
{
    fixture_t *f = *state;
    int to[2], from[2], status;
    char byte = 0;
    uint64_t records = 0;
    fixture_fill(f, NS, 0, 3);
    store_sizes_t before = write_over(f, 4);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        records += before.tables[i].records;
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(to[1]); /* it ends with its parent */
        look_at_snapshot(f, records, to[0], from[1]);
    }
    close(from[1]);
    assert_int_equal(read(from[0], &byte, 1), 1);
    uint64_t pinned = write_over(f, 100).file_bytes;
    assert_true(pinned > before.file_bytes);
    assert_int_equal(write(to[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(store_drop_readers(f->store), 1);
    assert_int_equal(write_over(f, 300).file_bytes, pinned);
    close(to[0]);
    close(to[1]);
    close(from[0]);
}

/* One that is killed keeps nothing: its read transaction goes. */
static void test_killed_reader(void **state)
{
    fixture_t *f = *state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        snapshot_t snapshot;
        status_t st;
        _exit(!snapshot_open(&snapshot, f->path, &st) && snapshot.txn ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(store_drop_readers(f->store), 1);
    assert_int_equal(store_drop_readers(f->store), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backup),        TEST(test_backup_keeps_off_the_store),
        TEST(test_restore),       TEST(test_no_room_for_a_reader),
        TEST(test_killed_reader), TEST(test_pages_of_a_reader_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
