/* Outcomes: the sentence, where it is cut, and what an errno becomes. */
#include "common/status.h"

#include "common/utf8.h"
#include "common/util.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static void test_set_and_wrap(void **state)
{
    (void)state;
    status_t st;
    assert_int_equal(status_set(&st, STATUS_NOT_FOUND, "task %s", "t"), STATUS_NOT_FOUND);
    assert_string_equal(st.text, "task t");
    assert_int_equal(status_wrap(&st, "delete %d", 7), STATUS_NOT_FOUND);
    assert_string_equal(st.text, "delete 7: task t");
    status_clear(&st);
    assert_int_equal(st.code, STATUS_OK);
    assert_string_equal(st.text, "");
}

static void test_errno_never_claims_existence(void **state)
{
    (void)state;
    status_t st;
    assert_int_equal(status_errno(&st, ENOENT, "open x"), STATUS_INTERNAL);
    assert_string_equal(st.text, "open x: No such file or directory");
    assert_int_equal(status_errno(&st, EEXIST, "x"), STATUS_INTERNAL);
    for (int number = 0; number < 200; number++) {
        status_code_t code = status_errno(&st, number, "x");
        assert_true(code != STATUS_NOT_FOUND && code != STATUS_ALREADY_EXISTS && code);
    }
    assert_int_equal(status_errno(&st, ENOSPC, "x"), STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(status_errno(&st, EACCES, "x"), STATUS_PERMISSION_DENIED);
}

/* A reply whose sentence is no UTF-8 could not be read by anyone. */
static void test_long_text_is_cut_between_characters(void **state)
{
    static const char *const characters[] = {"a", "\u00e9", "\u20ac", "\U0001f600"};
    (void)state;
    for (size_t c = 0; c < ARRAY_SIZE(characters); c++)
        for (size_t shift = 0; shift < 4; shift++) {
            char text[2 * STATUS_TEXT_SIZE] = "xxxx";
            status_t st;
            for (size_t used = shift; used + 5 < sizeof text; used += strlen(characters[c]))
                strcpy(text + used, characters[c]);
            status_set(&st, STATUS_INTERNAL, "%s", text);
            assert_true(utf8_is_valid(st.text, strlen(st.text)));
            assert_true(strlen(st.text) >= STATUS_TEXT_SIZE - 4);
            status_wrap(&st, "%s", "outer");
            assert_true(utf8_is_valid(st.text, strlen(st.text)));
            assert_memory_equal(st.text, "outer: ", 7);
            status_errno(&st, EIO, "%s", text);
            assert_true(utf8_is_valid(st.text, strlen(st.text)));
        }
}

/* File names and what a shim prints may be any bytes. */
static void test_text_becomes_utf8(void **state)
{
    (void)state;
    status_t st;
    status_set(&st, STATUS_INTERNAL, "mount %s", "a\xff\xc3[");
    assert_string_equal(st.text, "mount a??[");
    status_wrap(&st, "\xe2\x82");
    assert_string_equal(st.text, "??: mount a??[");
    status_errno(&st, EIO, "\x80");
    assert_string_equal(st.text, "?: Input/output error");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(status_name(STATUS_OK), "OK");
    assert_string_equal(status_name(STATUS_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED");
    assert_string_equal(status_name((status_code_t)99), "UNKNOWN");
}

static void test_uncertain(void **state)
{
    (void)state;
    assert_true(status_is_uncertain(STATUS_UNAVAILABLE));
    assert_true(status_is_uncertain(STATUS_DEADLINE_EXCEEDED));
    assert_false(status_is_uncertain(STATUS_OK));
    assert_false(status_is_uncertain(STATUS_NOT_FOUND));
    assert_false(status_is_uncertain(STATUS_INVALID_ARGUMENT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_wrap),
        cmocka_unit_test(test_errno_never_claims_existence),
        cmocka_unit_test(test_long_text_is_cut_between_characters),
        cmocka_unit_test(test_text_becomes_utf8),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_uncertain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
