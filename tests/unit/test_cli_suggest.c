/* Guessing which command was meant. */
#include "client/suggest.h"

#include "common/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void counts_edits(void **state)
{
    static const struct {
        const char *left, *right;
        size_t edits;
    } rows[] = {
        {"", "", 0},        {"", "run", 3},           {"run", "run", 0},   {"rn", "run", 1},
        {"runn", "run", 1}, {"ran", "run", 1},        {"urn", "run", 1},   {"tsaks", "tasks", 1},
        {"nur", "run", 2},  {"evnets", "event", 2},   {"lst", "list", 1},  {"sl", "ls", 1},
        {"ca", "abc", 3},   {"kitten", "sitting", 3}, {"abcd", "badc", 2},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(suggest_distance(rows[i].left, rows[i].right), rows[i].edits);
        assert_int_equal(suggest_distance(rows[i].right, rows[i].left), rows[i].edits);
    }
}

static void a_long_word_is_far_from_all(void **state)
{
    char longest[SUGGEST_WORD_MAX + 2];
    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[SUGGEST_WORD_MAX] = '\0';
    assert_int_equal(suggest_distance(longest, longest), 0);
    assert_int_equal(suggest_distance(longest, ""), SUGGEST_WORD_MAX);
    longest[SUGGEST_WORD_MAX] = 'a';
    longest[SUGGEST_WORD_MAX + 1] = '\0';
    assert_true(suggest_distance(longest, longest) == SIZE_MAX);
}

static void assert_says(const char *word, const char *expected)
{
    AUTO_FREE char *text = suggest_command(NULL, word);
    assert_string_equal(text, expected);
}

static void says_what_may_have_been_meant(void **state)
{
    (void)state;
    assert_says("evnets", "unknown command evnets: did you mean events?");
    assert_says("pause", "unknown command pause: did you mean tasks pause?");
    assert_says("xyzzy", "unknown command xyzzy");
    /* Two edits of three characters are another word. */
    assert_says("nur", "unknown command nur");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_edits),
        cmocka_unit_test(a_long_word_is_far_from_all),
        cmocka_unit_test(says_what_may_have_been_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
