/* Tests of client/oci: the process of an exec, and environments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/oci/oci_env.h"
#include "client/oci/oci_file.h"
#include "client/oci/oci_process.h"
#include "common/util.h"
#include "oci_fixture.h"

static json_t *sample_spec(void)
{
    return json_pack("{s:{s:b, s:{s:i, s:i}, s:[s], s:[s, s], s:s, s:{s:[s]}}, s:{s:s}}", "process",
                     "terminal", 1, "user", "uid", 5, "gid", 6, "args", "init", "env", "A=1", "B=2",
                     "cwd", "/c", "capabilities", "bounding", "CAP_KILL", "root", "path",
                     oci_fixture_root);
}

static void assert_exec_refused(const json_t *spec, const oci_process_options_t *options,
                                status_code_t code, const char *part)
{
    status_t st = {0};
    assert_null(oci_process_new(spec, options, &st));
    assert_int_equal(st.code, code);
    oci_fixture_contains(st.text, part);
}

static void test_exec(void **state)
{
    (void)state;
    status_t st = {0};
    json_auto_t *spec = sample_spec();
    json_auto_t *before = json_deep_copy(spec);

    oci_process_options_t options = {.args = LIST("ls", "-l")};
    json_auto_t *plain = oci_process_new(spec, &options, &st);
    oci_fixture_json(plain,
                     "{\"args\":[\"ls\",\"-l\"],\"capabilities\":{\"bounding\":[\"CAP_KILL\"]},"
                     "\"cwd\":\"/c\",\"env\":[\"A=1\",\"B=2\"],\"user\":{\"gid\":6,\"uid\":5}}");

    options = (oci_process_options_t){.args = LIST("ls"),
                                      .env = LIST("A=3", "B", "C=4"),
                                      .cwd = "/d",
                                      .user = "web",
                                      .terminal = true};
    json_auto_t *changed = oci_process_new(spec, &options, &st);
    oci_fixture_json(changed, "{\"args\":[\"ls\"],\"capabilities\":{\"bounding\":[\"CAP_KILL\"]},"
                              "\"cwd\":\"/d\",\"env\":[\"A=3\",\"C=4\"],\"terminal\":true,"
                              "\"user\":{\"additionalGids\":[43,4,44],\"gid\":43,\"uid\":33}}");
    assert_true(json_equal(spec, before));
}

static void test_exec_refused(void **state)
{
    (void)state;
    json_auto_t *spec = sample_spec();
    oci_process_options_t options = {.args = LIST("ls")};
    json_auto_t *empty = json_object();
    assert_exec_refused(empty, &options, STATUS_FAILED_PRECONDITION, "no process");
    json_auto_t *odd = json_pack("{s:{s:s}}", "process", "env", "A=1");
    assert_exec_refused(odd, &options, STATUS_FAILED_PRECONDITION, "process.env");

    options.cwd = "d";
    assert_exec_refused(spec, &options, STATUS_INVALID_ARGUMENT, "--cwd d: not an absolute path");
    options.cwd = NULL;
    options.user = "bob";
    assert_exec_refused(spec, &options, STATUS_INVALID_ARGUMENT, "no user 'bob'");
    json_object_set_new(json_object_get(spec, "root"), "path", json_string("rootfs"));
    assert_exec_refused(spec, &options, STATUS_INVALID_ARGUMENT, "not absolute");
    options = (oci_process_options_t){.args = NULL};
    assert_exec_refused(spec, &options, STATUS_INVALID_ARGUMENT, "no command given");
}

static void test_env_file(void **state)
{
    (void)state;
    status_t st = {0};
    json_auto_t *env = json_array();
    oci_fixture_write(oci_fixture_at("env"), "A=1\r\n#B=2\n\n C=3\nD\nA=4");
    assert_int_equal(oci_env_set_file(env, oci_fixture_at("env"), &st), STATUS_OK);
    oci_fixture_json(env, "[\"A=4\",\" C=3\"]");

    oci_fixture_write(oci_fixture_at("env"), "A=1\n=2\n");
    assert_int_equal(oci_env_set_file(env, oci_fixture_at("env"), &st), STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, "/env: line 2");
    oci_fixture_contains(st.text, "has no name");

    assert_int_equal(truncate(oci_fixture_at("env"), OCI_FILE_ENV_MAX + 1), 0);
    assert_int_equal(oci_env_set_file(env, oci_fixture_at("env"), &st), STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, "longer than 1048576 bytes");

    FILE *file = fopen(oci_fixture_at("env"), "w");
    assert_non_null(file);
    for (int i = 0; i <= OCI_ENV_MAX; i++)
        fprintf(file, "V%d=\n", i);
    fclose(file);
    json_auto_t *many = json_array();
    assert_int_equal(oci_env_set_file(many, oci_fixture_at("env"), &st), STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, "line 4097");
    oci_fixture_contains(st.text, "more than 4096 variables");
    assert_int_equal(json_array_size(many), OCI_ENV_MAX);
}

static void test_names_are_whole(void **state)
{
    (void)state;
    status_t st = {0};
    json_auto_t *env = json_array();
    assert_int_equal(oci_env_set(env, LIST("AB=1", "A=2", "A", "ABC=3", "AB"), &st), STATUS_OK);
    oci_fixture_json(env, "[\"ABC=3\"]");
    oci_env_set_default(env, "AB", "4");
    oci_env_set_default(env, "ABC", "5");
    oci_fixture_json(env, "[\"ABC=3\",\"AB=4\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_exec),
        ROW(test_exec_refused),
        ROW(test_env_file),
        ROW(test_names_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
