/* Reading a log while it is written and rotated, and finding its last lines. */
#include "log_fixture.h"

#include "client/arguments.h"
#include "client/log_reader.h"
#include "common/util.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const log_store_limits_t small = {LOG_STORE_SIZE_MIN, 3};

static void add_numbers(log_store_t *store, int from, int to)
{
    for (int i = from; i < to; i++) {
        char text[64];
        snprintf(text, sizeof text, "%d %50s", i, "");
        log_fixture_add(store, text);
    }
    log_store_flush(store, util_now_ns());
}

/* Reads the numbers from `from` to before `to`, and then nothing. */
static void assert_numbers(log_reader_t *reader, int from, int to)
{
    log_line_t line;
    status_t st;
    for (int i = from; i < to; i++) {
        assert_true(log_reader_next(reader, &line, &st));
        assert_int_equal(atoi(line.text), i);
    }
    assert_false(log_reader_next(reader, &line, &st));
    assert_int_equal(st.code, STATUS_OK);
}

static log_reader_t *reader_of(const log_fixture_t *fixture)
{
    status_t st;
    log_reader_t *reader = log_reader_new(fixture->dir, &st);
    assert_non_null(reader);
    return reader;
}

static void a_follower_loses_nothing_in_rotations(void **state)
{
    const log_fixture_t *fixture = *state;
    log_reader_t *reader = reader_of(fixture); /* before there is a directory */
    assert_numbers(reader, 0, 0);
    log_store_t *store = log_store_new(fixture->dir, &small);
    for (int i = 0; i < 20000; i += 500) { /* 46 KiB each: about every second one rotates */
        add_numbers(store, i, i + 500);
        assert_numbers(reader, i, i + 500);
    }
    assert_int_equal(log_reader_take_missed(reader), 0);
    log_store_destroy(&store);
    log_reader_destroy(&reader);
}

static void files_that_are_gone_are_counted(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &small);
    add_numbers(store, 0, 10);
    log_reader_t *reader = reader_of(fixture);
    assert_numbers(reader, 0, 10);
    add_numbers(store, 10, 10000);
    log_line_t line;
    status_t st;
    int last = 9, gaps = 0;
    while (log_reader_next(reader, &line, &st)) {
        gaps += atoi(line.text) != last + 1;
        last = atoi(line.text);
    }
    assert_int_equal(last, 9999);
    assert_int_equal(gaps, 1);
    assert_true(log_reader_take_missed(reader) > 0);
    assert_int_equal(log_reader_take_missed(reader), 0);
    log_store_destroy(&store);
    log_reader_destroy(&reader);
}

/* What stands behind the last newline is not read: it may be taken back. */
static void a_torn_line_is_not_read(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &small);
    add_numbers(store, 0, 1);
    log_reader_t *reader = reader_of(fixture);
    AUTO_FREE char *path = log_fixture_path(fixture, 1);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND);
    struct stat info;
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(write(fd, "2024-01-31T12:00:00.000000005Z stdout F torn", 44), 44);
    assert_numbers(reader, 0, 1);
    assert_int_equal(ftruncate(fd, info.st_size), 0);
    add_numbers(store, 1, 2);
    assert_numbers(reader, 1, 2);
    log_store_destroy(&store);
    log_reader_destroy(&reader);
}

static void junk_is_passed_by(void **state)
{
    const log_fixture_t *fixture = *state;
    log_store_t *store = log_store_new(fixture->dir, &small);
    add_numbers(store, 0, 1);
    AUTO_FREE char *path = log_fixture_path(fixture, 1);
    FILE *file = fopen(path, "a");
    for (int i = 0; i < 200000; i++)
        fputc('x', file);
    fputc('\n', file);
    fclose(file);
    add_numbers(store, 1, 2);
    log_reader_t *reader = reader_of(fixture);
    assert_numbers(reader, 0, 2);
    log_reader_destroy(&reader);
    reader = reader_of(fixture);
    status_t st;
    assert_int_equal(log_reader_tail(reader, 1, &st), STATUS_OK);
    assert_numbers(reader, 1, 2);
    log_store_destroy(&store);
    log_reader_destroy(&reader);
}

static void the_tail_is_found_across_files(void **state)
{
    const log_fixture_t *fixture = *state;
    static const log_store_limits_t many = {LOG_STORE_SIZE_MIN, 100};
    log_store_t *store = log_store_new(fixture->dir, &many);
    add_numbers(store, 0, 5000);
    assert_true(log_fixture_files(fixture) > 5);
    static const int tails[] = {0, 1, 2, 100, 699, 700, 701, 702, 703, 704, 2000, 4999, 5000};
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        status_t st;
        log_reader_t *reader = reader_of(fixture);
        assert_int_equal(log_reader_tail(reader, (uint64_t)tails[i], &st), STATUS_OK);
        assert_numbers(reader, 5000 - tails[i], 5000);
        log_reader_destroy(&reader);
    }
    status_t st;
    log_reader_t *reader = reader_of(fixture);
    assert_int_equal(log_reader_tail(reader, 9999, &st), STATUS_OK);
    assert_numbers(reader, 0, 5000);
    log_reader_destroy(&reader);
    log_store_destroy(&store);
}

static void a_line_in_parts_is_one(void **state)
{
    const log_fixture_t *fixture = *state;
    static char part[LOG_LINE_TEXT_MAX];
    log_store_t *store = log_store_new(fixture->dir, &small);
    memset(part, '7', sizeof part);
    add_numbers(store, 0, 1);
    log_store_add(store, &(log_line_t){.partial = true, .text = part, .size = sizeof part});
    log_store_add(store, &(log_line_t){.partial = true, .text = part, .size = sizeof part});
    log_fixture_add(store, "7");
    add_numbers(store, 1, 2);
    log_reader_t *reader = reader_of(fixture);
    status_t st;
    log_line_t line;
    assert_int_equal(log_reader_tail(reader, 2, &st), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(log_reader_next(reader, &line, &st));
        assert_int_equal(line.text[0], '7');
    }
    assert_numbers(reader, 1, 2);
    log_reader_destroy(&reader);
    log_store_destroy(&store);
}

static void moments_are_dockers(void **state)
{
    (void)state;
    static const int64_t now = 1800000000000000000;
    static const struct {
        const char *text;
        int64_t moment;
    } rows[] = {
        {"2024-01-31T12:00:00Z", 1706702400000000000},
        {"2024-01-31T12:00:00.000000005Z", 1706702400000000005},
        {"2024-01-31T12:00:00.5+01:00", 1706698800500000000},
        {"2024-01-31T12:00:00-00:30", 1706704200000000000},
        {"2024-01-31", 1706659200000000000},
        {"1706702400", 1706702400000000000},
        {"1706702400.25", 1706702400250000000},
        {"10m", now - 600000000000},
        {"1h30m", now - 5400000000000},
    };
    static const char *const bad[] = {
        "",    "yesterday", "2024-13-01", "2024-01-31T12:00:00+1", "-5m", "2024-01-31T12:00:00Zx",
        "10x", "1.5.5"};
    status_t st;
    int64_t moment;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(arguments_moment("--since", rows[i].text, now, &moment, &st), STATUS_OK);
        assert_int_equal(moment, rows[i].moment);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(arguments_moment("--since", bad[i], now, &moment, &st),
                         STATUS_INVALID_ARGUMENT);
}

static void bytes_have_units(void **state)
{
    (void)state;
    status_t st;
    uint64_t bytes;
    assert_int_equal(arguments_bytes("x", "10", 1, UINT64_MAX, &bytes, &st), STATUS_OK);
    assert_int_equal(bytes, 10);
    assert_int_equal(arguments_bytes("x", "3M", 1, UINT64_MAX, &bytes, &st), STATUS_OK);
    assert_int_equal(bytes, 3 << 20);
    assert_int_equal(arguments_bytes("x", "7b", 1, UINT64_MAX, &bytes, &st), STATUS_OK);
    assert_int_equal(bytes, 7);
    static const char *const bad[] = {
        "", "k", "-1", "1t", "1kk", "99999999999999999999", "99999999999999999g", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(arguments_bytes("x", bad[i], 1, UINT64_MAX, &bytes, &st),
                         STATUS_INVALID_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, log_fixture_setup, log_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_follower_loses_nothing_in_rotations),
        TEST(files_that_are_gone_are_counted),
        TEST(a_torn_line_is_not_read),
        TEST(junk_is_passed_by),
        TEST(the_tail_is_found_across_files),
        TEST(a_line_in_parts_is_one),
        cmocka_unit_test(moments_are_dockers),
        cmocka_unit_test(bytes_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
