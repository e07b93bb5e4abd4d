/* Numbers, durations and times as text. */
#include "common/scalar.h"

#include "common/util.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECOND ((int64_t)1000000000)
#define NOW    (INT64_C(1000) * SECOND)

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        long double number;
    } good[] = {{"0", 0},
                {"7", 7},
                {"-7", -7},
                {"+7", 7},
                {"007", 7},
                {"0.25", 0.25L},
                {"-1.5", -1.5L},
                {"18446744073709551615", 18446744073709551615.0L},
                {"-9223372036854775808", -9223372036854775808.0L}};
    static const char *const bad[] = {"",   "-",  ".",   "1.",  ".5",  "1e3", "0x1",
                                      "1 ", " 1", "1,5", "--1", "nan", "inf", "1.2.3"};
    (void)state;
    long double number;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(scalar_read_number(good[i].text, strlen(good[i].text), &number));
        assert_true(number == good[i].number);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(scalar_read_number(bad[i], strlen(bad[i]), &number));
    assert_true(scalar_read_number("123", 2, &number)); /* of `size` bytes, not more */
    assert_true(number == 12);
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"30", 30 * SECOND},     {"30s", 30 * SECOND},
                {"1m30s", 90 * SECOND},  {"1h30m", 5400 * SECOND},
                {"500ms", SECOND / 2},   {"1.5s", 3 * SECOND / 2},
                {"-10m", -600 * SECOND}, {"48h", 172800 * SECOND},
                {"1us", 1000},           {"3ns", 3},
                {"-1m30", -90 * SECOND}};
    static const char *const bad[] = {"",    "s",  "-",  "1x",          "1 s",
                                      "1.s", "m1", "1d", "9999999999h", "1m-3s"};
    (void)state;
    int64_t ns;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(scalar_read_duration(good[i].text, strlen(good[i].text), &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(scalar_read_duration(bad[i], strlen(bad[i]), &ns));
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"1970-01-01", 0},
                {"1970-01-02", 86400 * SECOND},
                {"2024-02-29", 1709164800 * SECOND},
                {"1969-12-31T23:59:59Z", -SECOND},
                {"2026-01-01T00:00:00Z", 1767225600 * SECOND},
                {"2026-01-01T00:00:00", 1767225600 * SECOND},
                {"2026-01-01T00:00:00.000000001Z", 1767225600 * SECOND + 1},
                {"2026-01-01T02:30:00+02:30", 1767225600 * SECOND},
                {"2025-12-31T19:00:00-05:00", 1767225600 * SECOND},
                {"1767225600", 1767225600 * SECOND},
                {"1767225600.5", 1767225600 * SECOND + SECOND / 2},
                {"-1", -SECOND},
                {"1767225600123456789", 1767225600123456789},
                {"-10s", NOW - 10 * SECOND},
                {"10s", NOW + 10 * SECOND},
                {"+1m", NOW + 60 * SECOND}};
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-1-1",
                                      "2026-13-01",
                                      "2026-02-29",
                                      "2026-00-01",
                                      "2026-01-00",
                                      "2026-01-01T",
                                      "2026-01-01 00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:60:00Z",
                                      "2026-01-01T00:00:61Z",
                                      "2026-01-01T00:00Z",
                                      "2026-01-01T00:00:00.Z",
                                      "2026-01-01T00:00:00+1",
                                      "2026-01-01T00:00:00+24:00",
                                      "2026-01-01T00:00:00Zx",
                                      "9999-01-01",
                                      "0001-01-01",
                                      "99999999999999999999",
                                      "-10x",
                                      "2026-01-01T00:00:00z"};
    (void)state;
    int64_t ns;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(scalar_read_time_from(good[i].text, strlen(good[i].text), NOW, &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(scalar_read_time_from(bad[i], strlen(bad[i]), NOW, &ns));
    assert_true(scalar_read_time("2026-01-01", 10, &ns));
    assert_false(scalar_read_time("-10s", 4, &ns)); /* from when? */
    assert_false(scalar_read_time_from("1h", 2, INT64_MAX, &ns));
}

static void test_printing(void **state)
{
    (void)state;
    char text[SCALAR_TIME_SIZE];
    scalar_print_time(1767225600 * SECOND + SECOND / 4, "T", "Z", text);
    assert_string_equal(text, "2026-01-01T00:00:00.25Z");
    scalar_print_time(-1, "T", "Z", text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
    scalar_print_time(0, " ", " +0000 UTC", text);
    assert_string_equal(text, "0001-01-01 00:00:00 +0000 UTC");
    scalar_print_time(INT64_MAX, "T", "Z", text);
    assert_string_equal(text, "2262-04-11T23:47:16.854775807Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
