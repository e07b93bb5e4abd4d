/* Lines of a log: their form, and cutting output into them. */
#include "logger/log_line.h"

#include "common/util.h"
#include "logger/log_dir.h"
#include "logger/log_settings.h"
#include "logger/log_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static size_t write_line(const log_line_t *line, char *to)
{
    char time[LOG_LINE_TIME_SIZE];
    log_line_time(line->time, time);
    return log_line_write(line, time, to);
}

static void written_lines_are_cris(void **state)
{
    (void)state;
    char data[LOG_LINE_PREFIX_MAX + 8];
    log_line_t line = {.time = 1706702400000000005, .tag = LOG_STDERR, .text = "hi", .size = 2};
    size_t size = write_line(&line, data);
    assert_int_equal(size, strlen("2024-01-31T12:00:00.000000005Z stderr F hi\n"));
    assert_memory_equal(data, "2024-01-31T12:00:00.000000005Z stderr F hi\n", size);
}

static void lines_are_read_back(void **state)
{
    (void)state;
    static const char junk[] = "\0\xff F \t";
    for (log_tag_t tag = LOG_STDOUT; tag <= LOG_SHIMD; tag++)
        for (int partial = 0; partial < 2; partial++) {
            char data[LOG_LINE_PREFIX_MAX + sizeof junk];
            log_line_t read, line = {.time = 1234567890123456789,
                                     .tag = tag,
                                     .partial = partial,
                                     .text = junk,
                                     .size = sizeof junk - 1};
            size_t size = write_line(&line, data);
            assert_true(log_line_read(data, size - 1, &read));
            assert_int_equal(read.time, line.time);
            assert_int_equal(read.tag, tag);
            assert_int_equal(read.partial, partial);
            assert_int_equal(read.size, line.size);
            assert_memory_equal(read.text, junk, line.size);
        }
}

static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "text",
        "2024-01-31T12:00:00.000000005Z",
        "2024-01-31T12:00:00.000000005Z ",
        "2024-01-31T12:00:00.000000005Z stdout",
        "2024-01-31T12:00:00.000000005Z stdout F",
        "2024-01-31T12:00:00.000000005Z stdout X text",
        "2024-01-31T12:00:00.000000005Z stdin F text",
        "2024-01-31T12:00:00.00000000Z stdout F text",
        "2024-01-31 12:00:00.000000005Z stdout F text",
    };
    log_line_t line;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *copy = strdup(bad[i]); /* so that a sanitizer sees a read behind the end */
        assert_false(log_line_read(copy, strlen(copy), &line));
        free(copy);
    }
    assert_true(log_line_read("2024-01-31T12:00:00.000000005Z stdout F ", 40, &line));
    assert_int_equal(line.size, 0);
}

/* "line;" for a whole line, "part+" for a part. */
static void collect(void *arg, const char *text, size_t size, bool partial)
{
    fprintf(arg, "%.*s%c", (int)size, text, partial ? '+' : ';');
}

static void output_is_cut_at_newlines(void **state)
{
    (void)state;
    static const char output[] = "a\n\nbcd\ne";
    for (size_t step = 1; step < sizeof output; step++) {
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);
        log_stream_t *stream = calloc(1, sizeof *stream);
        stream->emit = collect;
        stream->arg = to;
        for (size_t at = 0; at < sizeof output - 1; at += step)
            log_stream_take(stream, output + at,
                            step < sizeof output - 1 - at ? step : sizeof output - 1 - at);
        log_stream_flush(stream);
        log_stream_flush(stream);
        log_stream_take(stream, "f\n", 2);
        fclose(to);
        assert_string_equal(text, "a;;bcd;e+f;");
        free(stream);
        free(text);
    }
}

typedef struct sizes {
    size_t count, size[4];
    bool partial[4];
} sizes_t;

static void note_size(void *arg, const char *text, size_t size, bool partial)
{
    sizes_t *sizes = arg;
    (void)text;
    sizes->size[sizes->count] = size;
    sizes->partial[sizes->count++] = partial;
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    static char output[2 * LOG_LINE_TEXT_MAX + 2];
    memset(output, 'x', sizeof output);
    static const struct {
        size_t length, count, last; /* of the line, how many records, the last one's size */
    } rows[] = {{LOG_LINE_TEXT_MAX - 1, 1, LOG_LINE_TEXT_MAX - 1},
                {LOG_LINE_TEXT_MAX, 1, LOG_LINE_TEXT_MAX},
                {LOG_LINE_TEXT_MAX + 1, 2, 1},
                {2 * LOG_LINE_TEXT_MAX, 2, LOG_LINE_TEXT_MAX},
                {2 * LOG_LINE_TEXT_MAX + 1, 3, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        sizes_t sizes = {0};
        log_stream_t *stream = calloc(1, sizeof *stream);
        stream->emit = note_size;
        stream->arg = &sizes;
        log_stream_take(stream, output, rows[i].length);
        log_stream_take(stream, "\n", 1);
        assert_int_equal(sizes.count, rows[i].count);
        for (size_t at = 0; at < sizes.count; at++) {
            bool is_last = at + 1 == sizes.count;
            assert_int_equal(sizes.size[at], is_last ? rows[i].last : LOG_LINE_TEXT_MAX);
            assert_int_equal(sizes.partial[at], !is_last);
        }
        free(stream);
    }
}

static void settings_come_in_any_order(void **state)
{
    (void)state;
    char *argv[] = {"shimd-log", "max-file", "3", "what", "", "dir", "/d", "max-size", "100000"};
    log_settings_t settings;
    log_settings_read(ARRAY_SIZE(argv), argv, &settings);
    assert_string_equal(settings.dir, "/d");
    assert_int_equal(settings.limits.max_size, 100000);
    assert_int_equal(settings.limits.max_files, 3);
    assert_false(settings.terminal);
}

static void settings_without_sense_are_bounded(void **state)
{
    (void)state;
    char *argv[] = {"shimd-log", "max-size", "-1", "max-file", "junk", "terminal", "1", "dir"};
    log_settings_t settings;
    log_settings_read(ARRAY_SIZE(argv), argv, &settings);
    assert_null(settings.dir);
    assert_int_equal(settings.limits.max_size, INT64_MAX);
    assert_int_equal(settings.limits.max_files, 1);
    assert_true(settings.terminal);
    log_settings_read(1, argv, &settings);
    assert_int_equal(settings.limits.max_size, LOG_STORE_SIZE_DEFAULT);
    assert_int_equal(settings.limits.max_files, LOG_STORE_FILES_DEFAULT);
}

static void only_numbers_are_files(void **state)
{
    (void)state;
    char name[LOG_DIR_NAME_SIZE];
    log_dir_name(LOG_DIR_LAST, name);
    assert_int_equal(log_dir_number(name), LOG_DIR_LAST);
    assert_int_equal(log_dir_number("0000000012"), 12);
    assert_int_equal(log_dir_number("0000000000"), 0);
    assert_int_equal(log_dir_number("12"), 0);
    assert_int_equal(log_dir_number("exec"), 0);
    assert_int_equal(log_dir_number("00000000012"), 0);
    assert_int_equal(log_dir_number("-000000012"), 0);
    AUTO_FREE char *path = log_dir_path("/r", "ns", "id", 5, NULL);
    assert_string_equal(path, "/r/log/ns/id/5");
    AUTO_FREE char *exec = log_dir_path("/r", "ns", "id", 5, "e");
    assert_string_equal(exec, "/r/log/ns/id/5/exec/e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_lines_are_cris),
        cmocka_unit_test(lines_are_read_back),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(output_is_cut_at_newlines),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(settings_come_in_any_order),
        cmocka_unit_test(settings_without_sense_are_bounded),
        cmocka_unit_test(only_numbers_are_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
