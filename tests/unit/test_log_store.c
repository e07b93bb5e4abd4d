/* The writer of a log: rotation, repair, and disks that refuse. RLIMIT_FSIZE stands for a full
 * disk: a write is cut short at it, as at the last free block. */
#include "log_fixture.h"

#include "common/failpoint_term.h"
#include "common/util.h"
#include "logger/log_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#define RETRY_NS (LOG_STORE_RETRY_MS * INT64_C(1000000))

static const log_store_limits_t plenty = {LOG_STORE_SIZE_DEFAULT, LOG_STORE_FILES_DEFAULT};

static void limit_files(rlim_t bytes)
{
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void assert_text(const log_fixture_t *fixture, const char *expected)
{
    AUTO_FREE char *text = log_fixture_text(fixture);
    assert_string_equal(text, expected);
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void lines_are_added_to_the_newest_file(void **state)
{
    const log_fixture_t *fixture = *state;
    for (int round = 0; round < 2; round++) {
        log_store_t *store = log_store_new(fixture->dir, &plenty);
        log_fixture_add(store, round ? "two" : "one");
        log_store_flush(store, util_now_ns());
        log_store_destroy(&store);
    }
    assert_text(fixture, "one\ntwo\n");
    assert_int_equal(log_fixture_files(fixture), 1);
    struct stat info;
    assert_int_equal(stat(fixture->dir, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
}

static void a_torn_line_is_taken_back(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    log_fixture_add(store, "whole");
    log_store_flush(store, util_now_ns());
    log_store_destroy(&store);
    AUTO_FREE char *path = log_fixture_path(fixture, 1);
    FILE *file = fopen(path, "a");
    for (int i = 0; i < 9000; i++) /* longer than a block of the search */
        fputc('x', file);
    fclose(file);
    store = log_store_new(fixture->dir, &plenty);
    log_fixture_add(store, "next");
    log_store_flush(store, util_now_ns());
    log_store_destroy(&store);
    assert_text(fixture, "whole\nnext\n");
}

static void files_are_rotated_by_size_and_count(void **state)
{
    const log_fixture_t *fixture = *state;
    const log_store_limits_t limits = {LOG_STORE_SIZE_MIN, 3};
    static char text[1001];
    memset(text, 'x', sizeof text - 1);
    log_store_t *store = log_store_new(fixture->dir, &limits);
    for (int i = 0; i < 500; i++) {
        log_fixture_add(store, text);
        log_store_flush(store, util_now_ns());
    }
    log_store_destroy(&store);
    assert_int_equal(log_fixture_files(fixture), 3);
    for (uint64_t number = 1; number < 20; number++) {
        struct stat info;
        AUTO_FREE char *path = log_fixture_path(fixture, number);
        if (!stat(path, &info))
            assert_true(info.st_size <= LOG_STORE_SIZE_MIN);
    }
    /* 62 lines of 1041 bytes fit into a file: 500 of them need 9. */
    AUTO_FREE char *last = log_fixture_path(fixture, 9);
    assert_int_equal(access(last, F_OK), 0);
}

/* The line that does not get in whole leaves nothing; those before it stay. */
static void a_full_disk_drops_whole_lines_and_counts(void **state)
{
    const log_fixture_t *fixture = *state;
    static char text[101];
    memset(text, 'x', sizeof text - 1);
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    limit_files(5 * 141 + 70); /* five lines and a half */
    int64_t now = util_now_ns();
    for (int i = 0; i < 8; i++)
        log_fixture_add(store, text);
    log_store_flush(store, now);
    assert_true(log_store_owes(store));
    AUTO_FREE char *path = log_fixture_path(fixture, 1);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 5 * 141);
    log_fixture_add(store, "unseen"); /* it is too early to try again */
    log_store_flush(store, now + 1);
    limit_files(RLIM_INFINITY);
    log_fixture_add(store, "unseen too");
    log_store_flush(store, now + 2);
    log_fixture_add(store, "seen");
    log_store_flush(store, now + RETRY_NS);
    assert_false(log_store_owes(store));
    log_store_destroy(&store);
    AUTO_FREE char *all = log_fixture_text(fixture);
    const char *marker = strchr(all, '!');
    assert_non_null(marker);
    /* three lines of 101 bytes, and two of 7 and 11 */
    assert_string_equal(marker, "! 5 lines (321 bytes) were lost: File too large\nseen\n");
}

static void what_is_lost_is_said_without_new_output(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    int64_t now = util_now_ns();
    limit_files(10);
    log_fixture_add(store, "gone");
    log_store_flush(store, now);
    log_store_flush(store, now + RETRY_NS); /* nothing fits yet, not even the word about it */
    assert_text(fixture, "");
    limit_files(RLIM_INFINITY);
    log_store_flush(store, now + 2 * RETRY_NS);
    assert_text(fixture, "! 1 lines (5 bytes) were lost: File too large\n");
    log_store_destroy(&store);
}

static void a_clock_that_is_set_back_holds_nothing_up(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    int64_t now = util_now_ns();
    limit_files(10);
    log_fixture_add(store, "gone");
    log_store_flush(store, now);
    limit_files(RLIM_INFINITY);
    log_fixture_add(store, "there");
    log_store_flush(store, now - 3600 * INT64_C(1000000000));
    assert_text(fixture, "! 1 lines (5 bytes) were lost: File too large\nthere\n");
    log_store_destroy(&store);
}

static void a_place_that_is_none_is_tried_again(void **state)
{
    const log_fixture_t *fixture = *state;
    AUTO_FREE char *parent = util_format("%s/a", fixture->root);
    put_file(parent, "no directory");
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    int64_t now = util_now_ns();
    log_store_open(store);
    log_fixture_add(store, "gone");
    log_store_flush(store, now);
    assert_int_equal(unlink(parent), 0);
    log_store_flush(store, now + RETRY_NS);
    assert_text(fixture, "! 1 lines (5 bytes) were lost: Not a directory\n");
    log_store_destroy(&store);
}

static void a_killed_writer_is_told_of(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    log_store_note_death(store);
    log_fixture_add(store, "after");
    log_store_flush(store, util_now_ns());
    assert_text(fixture,
                "! the log writer was killed: what it held of the output is lost\nafter\n");
    log_store_destroy(&store);
}

static void a_writer_holds_the_lock(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    log_store_open(store);
    AUTO_CLOSE int fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    log_store_close(store);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    log_store_destroy(&store);
}

static void a_failpoint_is_a_disk_that_fails(void **state)
{
    const log_fixture_t *fixture = *state;
    AUTO_FREE char *terms = util_format("%s/log.write-before", fixture->root);
    AUTO_CLOSE int fd = open(terms, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "1*error(x)", 10), 10);
    failpoint_enable(fixture->root, "log");
    log_store_t *store = log_store_new(fixture->dir, &plenty);
    int64_t now = util_now_ns();
    log_fixture_add(store, "gone");
    log_store_flush(store, now);
    log_store_flush(store, now + RETRY_NS);
    failpoint_enable(NULL, "log");
    assert_text(fixture, "! 1 lines (5 bytes) were lost: Input/output error\n");
    log_store_destroy(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, log_fixture_setup, log_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_added_to_the_newest_file),
        TEST(a_torn_line_is_taken_back),
        TEST(files_are_rotated_by_size_and_count),
        TEST(a_full_disk_drops_whole_lines_and_counts),
        TEST(what_is_lost_is_said_without_new_output),
        TEST(a_clock_that_is_set_back_holds_nothing_up),
        TEST(a_place_that_is_none_is_tried_again),
        TEST(a_killed_writer_is_told_of),
        TEST(a_writer_holds_the_lock),
        TEST(a_failpoint_is_a_disk_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
