/* Which messages are believed that they are the first with their id. */
#include "broker/resent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define KEEP_US ((int64_t)RESENT_KEEP_MS * 1000)

static msg_uuid_t number(unsigned n)
{
    msg_uuid_t id = {.bytes = {1, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
    return id;
}

static int set_up(void **state)
{
    *state = resent_new();
    return 0;
}

static int tear_down(void **state)
{
    resent_destroy((resent_t **)state);
    return 0;
}

static void one_that_was_sent_again_is_not_believed(void **state)
{
    msg_uuid_t again = number(1), other = number(2);
    resent_note(*state, &again, 0);
    assert_false(resent_is_first(*state, &again, 1));
    assert_true(resent_is_first(*state, &other, 1));
    assert_false(resent_is_first(*state, &again, KEEP_US - 1));
    resent_note(*state, &again, KEEP_US - 1); /* as long again */
    assert_false(resent_is_first(*state, &again, 2 * KEEP_US - 2));
    assert_true(resent_is_first(*state, &again, 2 * KEEP_US - 1));
}

/* What is forgotten for want of room could be any. */
static void nobody_is_believed_while_too_many_are_sent_again(void **state)
{
    msg_uuid_t fresh = number(RESENT_MAX + 1);
    for (unsigned i = 0; i < RESENT_MAX; i++) {
        msg_uuid_t id = number(i);
        resent_note(*state, &id, i);
    }
    assert_true(resent_is_first(*state, &fresh, RESENT_MAX));
    msg_uuid_t last = number(RESENT_MAX);
    resent_note(*state, &last, RESENT_MAX);
    assert_false(resent_is_first(*state, &fresh, RESENT_MAX));
    assert_false(resent_is_first(*state, &fresh, KEEP_US - 1));
    assert_true(resent_is_first(*state, &fresh, KEEP_US)); /* the one that was forgotten is old */
    assert_false(resent_is_first(*state, &last, KEEP_US));
    assert_true(resent_is_first(*state, &last, KEEP_US + RESENT_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_was_sent_again_is_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_believed_while_too_many_are_sent_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
