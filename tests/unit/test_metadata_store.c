/* The store: durable, private, growing, and whole after a full disk and after being killed. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void put(fixture_t *f, const char *key, const void *data, size_t size, int *error)
{
    txn_t *txn = txn_write(f->store, error);
    assert_non_null(txn);
    txn_put(txn, TABLE_SPECS, key, strlen(key), data, size);
    news_t *news;
    *error = txn_commit(&txn, &news);
    assert_null(news);
}

static size_t size_of(fixture_t *f, const char *key)
{
    status_t st;
    msg_bytes_t found = {.size = 0};
    AUTO(txn)
    txn = txn_read(f->store, &st);
    return txn_get(txn, TABLE_SPECS, key, strlen(key), &found) ? found.size : 0;
}

static void test_directory_is_private(void **state)
{
    fixture_t *f = *state;
    struct stat info;
    char path[PATH_MAX + 16];
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/data.mdb", f->path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static int flushes;

/* Stands before libc's for LMDB too. */
int fdatasync(int fd)
{
    flushes++;
    return (int)syscall(SYS_fdatasync, fd);
}

static void test_commit_reaches_the_disk(void **state)
{
    fixture_t *f = *state;
    int error;
    flushes = 0;
    put(f, "a", "xyz", 3, &error);
    assert_int_equal(error, 0);
    assert_int_equal(flushes, 1);
}

static void test_outlives_its_process(void **state)
{
    fixture_t *f = *state;
    int error;
    put(f, "a", "xyz", 3, &error);
    assert_int_equal(error, 0);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    assert_int_equal(size_of(f, "a"), 3);
}

static void test_first_failure_sticks(void **state)
{
    fixture_t *f = *state;
    int error;
    txn_t *txn = txn_write(f->store, &error);
    txn_put(txn, TABLE_SPECS, "a", 1, "1", 1);
    txn_put(txn, TABLE_SPECS, "", 0, "2", 1); /* LMDB takes no empty key */
    assert_int_equal(txn_error(txn), MDB_BAD_VALSIZE);
    msg_bytes_t found;
    assert_false(txn_get(txn, TABLE_SPECS, "a", 1, &found));
    news_t *news;
    assert_int_equal(txn_commit(&txn, &news), MDB_BAD_VALSIZE);
    assert_null(txn);
    assert_int_equal(size_of(f, "a"), 0);
}

static void test_damaged_record_is_data_loss(void **state)
{
    fixture_t *f = *state;
    int error;
    status_t st;
    msg_container_t record;
    store_key_t key = STORE_KEY("a");
    put(f, "a", "\xc1", 1, &error);
    AUTO(txn)
    txn = txn_read(f->store, &st);
    assert_false(txn_get_message(txn, TABLE_SPECS, &key, MSG_container, f->zone, &record));
    assert_int_equal(txn_status(txn, &st), STATUS_DATA_LOSS);
}

typedef struct big_put {
    uint8_t *data;
    size_t size;
    char key[16];
    int runs;
    status_t st;
} big_put_t;

static void run_big(void *arg, txn_t *txn)
{
    big_put_t *self = arg;
    self->runs++;
    txn_put(txn, TABLE_SPECS, self->key, strlen(self->key), self->data, self->size);
}

static void done_big(void *arg, const status_t *st)
{
    ((big_put_t *)arg)->st = *st;
}

static void put_big(fixture_t *f, big_put_t *put_this, size_t size, const char *key)
{
    *put_this = (big_put_t){.size = size, .data = zmalloc(size)};
    snprintf(put_this->key, sizeof put_this->key, "%s", key);
    batch_add(f->batch, run_big, done_big, put_this);
    batch_commit(f->batch);
    free(put_this->data);
}

static void test_map_grows(void **state)
{
    fixture_t *f = *state;
    big_put_t op;
    fixture_reopen(f, 256 << 10, 64 << 20);
    assert_int_equal(store_map_size(f->store), 256 << 10);
    put_big(f, &op, 4 << 20, "big");
    assert_int_equal(op.st.code, STATUS_OK);
    assert_in_range(op.runs, 3, 10); /* once per size that was too small, and once more */
    assert_int_equal(size_of(f, "big"), 4 << 20);
    assert_in_range(store_map_size(f->store), 4 << 20, 16 << 20);
    fixture_reopen(f, 256 << 10, 64 << 20);
    assert_int_equal(size_of(f, "big"), 4 << 20);
    put_big(f, &op, 100, "small");
    assert_int_equal(op.st.code, STATUS_OK);
}

static void test_map_ends_at_its_limit(void **state)
{
    fixture_t *f = *state;
    big_put_t op;
    fixture_reopen(f, 256 << 10, 1 << 20);
    put_big(f, &op, 4 << 20, "big");
    assert_int_equal(op.st.code, STATUS_RESOURCE_EXHAUSTED);
    put_big(f, &op, 100, "small");
    assert_int_equal(op.st.code, STATUS_OK);
    assert_int_equal(size_of(f, "big"), 0);
    assert_int_equal(size_of(f, "small"), 100);
}

static void test_starts_with_a_map_that_is_too_small(void **state)
{
    fixture_t *f = *state;
    batch_destroy(&f->batch);
    store_destroy(&f->store);
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/data.mdb", f->path);
    assert_int_equal(unlink(path), 0);
    status_t st;
    f->store = store_open(f->path, 16 << 10, 1 << 20, &st);
    assert_non_null(f->store);
}

static void test_full_disk(void **state)
{
    fixture_t *f = *state;
    if (!fixture_small_disk(f, "4m")) {
        fprintf(stderr, "SKIPPED: cannot mount a small tmpfs: %s\n", strerror(errno));
        skip();
    }
    big_put_t op;
    put_big(f, &op, 1000, "before");
    fixture_fill_disk(f);
    put_big(f, &op, 1 << 20, "big");
    assert_int_equal(op.st.code, STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(op.st.text, "No space left on device"));
    assert_int_equal(size_of(f, "big"), 0);
    assert_int_equal(size_of(f, "before"), 1000);

    fixture_free_disk(f);
    put_big(f, &op, 1 << 20, "big");
    assert_int_equal(op.st.code, STATUS_OK);
    assert_int_equal(size_of(f, "big"), 1 << 20);
}

/* LMDB writes many pages at once; a disk that has room for some of them only takes those, which
 * LMDB reports as if the disk were broken. */
static void test_disk_that_takes_a_part(void **state)
{
    fixture_t *f = *state;
    if (!fixture_small_disk(f, "4m")) {
        fprintf(stderr, "SKIPPED: cannot mount a small tmpfs: %s\n", strerror(errno));
        skip();
    }
    big_put_t op;
    put_big(f, &op, 1 << 20, "before");
    put_big(f, &op, 16 << 20, "big");
    assert_int_equal(op.st.code, STATUS_RESOURCE_EXHAUSTED);
    AUTO_FREE char *want =
        util_format("metadata store %s is full: No space left on device", f->path);
    assert_string_equal(op.st.text, want);
    put_big(f, &op, 1000, "small");
    assert_int_equal(op.st.code, STATUS_OK);
    assert_int_equal(size_of(f, "before"), 1 << 20);
    assert_int_equal(size_of(f, "big"), 0);
}

/* Killed while writing ---------------------------------------------------------------------------
 */

#define KILLS 12

typedef struct torn {
    int fd; /* one number for each event that was committed */
    batch_t *batch;
    uint64_t seq;
} torn_t;

static void run_append(void *arg, txn_t *txn)
{
    torn_t *torn = arg;
    journal_event_t event = {.ns = "default",
                             .topic = "/tasks/exit",
                             .type = "t",
                             .origin = "shim",
                             .incarnation = "",
                             .time = 1,
                             .event = {.data = (const uint8_t *)"\x80", .size = 1}};
    torn->seq = journal_append(txn, &event);
}

static void done_append(void *arg, const status_t *st)
{
    torn_t *torn = arg;
    if (st->code || write(torn->fd, &torn->seq, sizeof torn->seq) != sizeof torn->seq)
        _exit(1);
}

static void append_for_ever(const char *path, int fd)
{
    status_t st;
    store_t *store = store_open(path, STORE_MAP_INITIAL, STORE_MAP_MAX, &st);
    batch_t *batch = batch_new(store, NULL, NULL, NULL);
    torn_t torn[3];
    for (;;) {
        for (size_t i = 0; i < ARRAY_SIZE(torn); i++) {
            torn[i] = (torn_t){.fd = fd, .batch = batch};
            batch_add(batch, run_append, done_append, &torn[i]);
        }
        batch_commit(batch);
    }
}

/* Lets a writer run until it has answered `count` events more, kills it, and returns the last
 * number it answered. */
static uint64_t kill_a_writer(const char *path, size_t count)
{
    int fds[2];
    uint64_t seq = 0, last = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        append_for_ever(path, fds[1]);
    }
    close(fds[1]);
    for (size_t i = 0; i < count && read(fds[0], &seq, sizeof seq) == sizeof seq; i++)
        last = seq;
    kill(child, SIGKILL);
    while (read(fds[0], &seq, sizeof seq) == sizeof seq)
        last = seq;
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return last;
}

static void assert_contiguous(fixture_t *f, uint64_t at_least)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    uint64_t expected = 1;
    scan_t scan;
    for (bool any = scan_seek(&scan, txn, TABLE_JOURNAL, NULL, 0); any; any = scan_next(&scan)) {
        uint64_t seq;
        memcpy(&seq, scan.key.data, sizeof seq);
        assert_int_equal(seq, expected++);
    }
    scan_close(&scan);
    assert_true(journal_last(txn, TABLE_JOURNAL) >= at_least);
    msg_bytes_t found;
    uint64_t in_ns = 0;
    assert_true(txn_get(txn, TABLE_NS_SEQ, "default", 7, &found));
    memcpy(&in_ns, found.data, sizeof in_ns);
    assert_int_equal(in_ns, journal_last(txn, TABLE_JOURNAL));
}

static void test_killed_while_writing(void **state)
{
    fixture_t *f = *state;
    for (size_t i = 0; i < KILLS; i++) {
        intake_destroy(&f->intake);
        batch_destroy(&f->batch);
        store_destroy(&f->store); /* LMDB must not be open across a fork */
        uint64_t answered = kill_a_writer(f->path, 5 + 7 * i);
        assert_true(answered > 0);
        status_t st;
        f->store = store_open(f->path, STORE_MAP_INITIAL, STORE_MAP_MAX, &st);
        assert_non_null(f->store);
        f->batch = batch_new(f->store, NULL, NULL, NULL);
        assert_contiguous(f, answered);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_directory_is_private, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_commit_reaches_the_disk, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_outlives_its_process, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_first_failure_sticks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_record_is_data_loss, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_map_grows, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_map_ends_at_its_limit, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_starts_with_a_map_that_is_too_small, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_disk_that_takes_a_part, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_killed_while_writing, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
