/* Tests of client/options.c and client/command.c: what a command line means, and that the table of
 * commands is sound. */
#include "client/command.h"
#include "client/options.h"
#include "common/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const option_row_t rows[] = {
    {"detach", 'd', OPTION_FLAG, NULL, "", WORD_ANY},
    {"env", 'e', OPTION_LIST, "NAME=VALUE", "", WORD_ANY},
    {"memory-limit", 0, OPTION_TEXT, "BYTES", "", WORD_ANY},
    {"timeout", 0, OPTION_TEXT, "TIME", "", WORD_ANY},
    {0},
};

/* Parses the words behind a program's name. */
static status_code_t parse(options_t *options, size_t stop_after, status_t *st, char **words)
{
    int count = 0;
    while (words[count])
        count++;
    options_add(options, rows);
    return options_parse(options, count, words, stop_after, st);
}

#define WORDS(...)                                                                                 \
    (char *[])                                                                                     \
    {                                                                                              \
        "shimctl", __VA_ARGS__, NULL                                                               \
    }

static void assert_operands(const options_t *options, const char *expected)
{
    size_t count;
    char joined[256] = "";
    char **operands = options_operands(options, &count);
    for (size_t i = 0; i < count; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", i ? " " : "",
                 operands[i]);
    assert_null(operands[count]);
    assert_string_equal(joined, expected);
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    status_t st;
    AUTO(options)
    options = options_new();
    assert_int_equal(
        parse(options, OPTIONS_NEVER_STOP, &st, WORDS("a", "-d", "b", "--env", "X=1", "c", "-eY")),
        0);
    assert_operands(options, "a b c");
    assert_true(options_flag(options, "detach"));
    assert_string_equal(options_list(options, "env")[0], "X=1");
    assert_string_equal(options_list(options, "env")[1], "Y");
    assert_null(options_list(options, "env")[2]);
    assert_null(options_text(options, "memory-limit"));
}

static void the_containers_command_keeps_its_options(void **state)
{
    (void)state;
    status_t st;
    AUTO(options)
    options = options_new();
    assert_int_equal(
        parse(options, 2, &st, WORDS("/root", "-d", "id", "ls", "-e", "--detach", "--", "x")), 0);
    assert_operands(options, "/root id ls -e --detach -- x");
    assert_true(options_flag(options, "detach"));
    assert_null(options_list(options, "env"));
}

static void two_dashes_end_options_once(void **state)
{
    (void)state;
    status_t st;
    AUTO(options)
    first = options_new();
    assert_int_equal(parse(first, 2, &st, WORDS("--", "-d", "id", "--", "x")), 0);
    assert_operands(first, "-d id -- x");
    assert_false(options_flag(first, "detach"));
    AUTO(options)
    behind = options_new();
    assert_int_equal(parse(behind, 2, &st, WORDS("a", "b", "--", "-d")), 0);
    assert_operands(behind, "a b -d");
    AUTO(options)
    value = options_new();
    assert_int_equal(parse(value, 2, &st, WORDS("--env", "--", "-d", "a")), 0);
    assert_operands(value, "a");
    assert_true(options_flag(value, "detach"));
    assert_string_equal(options_list(value, "env")[0], "--");
}

static void assert_refused(char **words, const char *sentence)
{
    status_t st;
    AUTO(options)
    options = options_new();
    assert_int_equal(parse(options, OPTIONS_NEVER_STOP, &st, words), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, sentence);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_refused(WORDS("a", "--bogus"), "unknown or ambiguous option --bogus");
    assert_refused(WORDS("-x"), "unknown option -x");
    assert_refused(WORDS("--env"), "option --env needs a value");
    assert_refused(WORDS("-e"), "option --env needs a value");
    assert_refused(WORDS("--detach=yes"), "option --detach takes no value");
}

static void a_list_has_an_end(void **state)
{
    (void)state;
    static char *words[OPTIONS_LIST_MAX + 3];
    size_t count = 0;
    words[count++] = "shimctl";
    for (size_t i = 0; i < OPTIONS_LIST_MAX + 1; i++)
        words[count++] = "-eX";
    status_t st;
    AUTO(options)
    options = options_new();
    assert_int_equal(parse(options, 1, &st, words), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "--env is given more than 1024 times");
}

static void numbers_are_read_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   " 1",   "+1",  "-1",
                                      "1x", "0x10", "101", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        status_t st;
        uint64_t number = 7;
        AUTO(options)
        options = options_new();
        parse(options, 1, &st, WORDS("--memory-limit", (char *)bad[i]));
        assert_int_equal(options_u64(options, "memory-limit", 100, &number, &st),
                         STATUS_INVALID_ARGUMENT);
        assert_int_equal(number, 7);
    }
}

static void times_are_read_as_go_does(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows_of_times[] = {{"30", 30000},     {"30s", 30000}, {"500ms", 500}, {"1m30s", 90000},
                         {"1.5h", 5400000}, {"0", 0},       {"s", -1},      {"", -1},
                         {"3 s", -1},       {"-1s", -1},    {"1d", -1},     {"99999h", -1}};
    for (size_t i = 0; i < ARRAY_SIZE(rows_of_times); i++) {
        status_t st;
        int64_t ms = -1;
        AUTO(options)
        options = options_new();
        parse(options, 1, &st, WORDS("--timeout", (char *)rows_of_times[i].text));
        bool good = !options_milliseconds(options, "timeout", &ms, &st);
        assert_int_equal(good, rows_of_times[i].ms >= 0);
        assert_int_equal(ms, rows_of_times[i].ms);
    }
}

/* The table ---------------------------------------------------------------------------------------
 */

static const command_t *find(char *first, char *second, size_t *used)
{
    char *words[] = {first, second};
    return command_find(words, second ? 2 : 1, used);
}

static void commands_have_ctrs_aliases(void **state)
{
    (void)state;
    static const struct {
        char *first, *second;
        const char *path;
    } known[] = {
        {"run", NULL, "run"},
        {"c", "ls", "containers list"},
        {"container", "del", "containers delete"},
        {"t", "ls", "tasks list"},
        {"task", "rm", "tasks delete"},
        {"tasks", "remove", "tasks delete"},
        {"ns", "c", "namespaces create"},
        {"namespace", "rm", "namespaces remove"},
        {"event", NULL, "events"},
        {"t", "metric", "tasks metrics"},
        {"kill", "a", "tasks kill"},
    };
    size_t used;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        assert_string_equal(find(known[i].first, known[i].second, &used)->path, known[i].path);
    assert_null(find("bogus", NULL, &used));
    assert_string_equal(find("t", "bogus", &used)->path, "tasks");
    assert_int_equal(used, 1);
}

static void assert_options_differ(const options_t *options)
{
    const option_row_t *left, *right;
    for (size_t i = 0; (left = options_row(options, i)); i++)
        for (size_t j = i + 1; (right = options_row(options, j)); j++) {
            assert_string_not_equal(left->name, right->name);
            assert_true(!left->letter || left->letter != right->letter);
        }
}

static void every_row_is_sound(void **state)
{
    (void)state;
    const command_t *row, *other;
    for (size_t i = 0; (row = command_row(i)); i++) {
        AUTO(options)
        options = options_new();
        if (row->same_as) {
            assert_ptr_not_equal(command_meant(row), row);
            assert_null(command_meant(row)->same_as);
            continue;
        }
        options_add(options, command_global_options);
        for (size_t set = 0; set < OPTIONS_SETS; set++)
            options_add(options, row->options[set]);
        assert_options_differ(options);
        assert_true(row->brief && *row->brief);
        assert_true(!row->run || row->synopsis);
        assert_true(row->operands_min <= row->operands_max);
        for (size_t j = i + 1; (other = command_row(j)); j++)
            assert_string_not_equal(row->path, other->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(the_containers_command_keeps_its_options),
        cmocka_unit_test(two_dashes_end_options_once),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(times_are_read_as_go_does),
        cmocka_unit_test(commands_have_ctrs_aliases),
        cmocka_unit_test(every_row_is_sound),
    };
    return cmocka_run_group_tests_name("cli_options", tests, NULL, NULL);
}
