/* Tests of client/oci: whole specs, what they refuse, and specs from files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/oci/oci_file.h"
#include "client/oci/oci_process.h"
#include "client/oci/oci_spec.h"
#include "client/oci/oci_text.h"
#include "common/util.h"
#include "oci_fixture.h"

static oci_spec_options_t usual(void)
{
    static char *const args[] = {"sh", NULL};
    oci_spec_options_t options = OCI_SPEC_OPTIONS_INIT;
    options.ns = "default";
    options.id = "t1";
    options.rootfs = oci_fixture_root;
    options.args = args;
    return options;
}

/* The options are refused with INVALID_ARGUMENT and a sentence that has `part` in it. */
static void assert_refused(const oci_spec_options_t *options, const char *part)
{
    status_t st = {0};
    json_auto_t *spec = oci_spec_new(options, &st);
    assert_null(spec);
    assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, part);
}

static json_t *new_spec(const oci_spec_options_t *options)
{
    status_t st = {0};
    json_t *spec = oci_spec_new(options, &st);
    if (!spec)
        fail_msg("refused: %s", st.text);
    return spec;
}

static void assert_load_refused(const char *path, const char *part)
{
    status_t st = {0};
    json_t *spec = NULL;
    assert_int_equal(oci_spec_load(path, &spec, &st), STATUS_INVALID_ARGUMENT);
    assert_null(spec);
    oci_fixture_contains(st.text, "--config");
    oci_fixture_contains(st.text, part);
}

static void test_default(void **state)
{
    (void)state;
    oci_spec_options_t options = usual();
    json_auto_t *spec = new_spec(&options);
    const char *version;
    const char *cgroup;
    const char *path;
    json_t *args;
    assert_int_equal(json_unpack(spec, "{s:s, s:{s:o}, s:{s:s}, s:{s:s}}", "ociVersion", &version,
                                 "process", "args", &args, "root", "path", &path, "linux",
                                 "cgroupsPath", &cgroup),
                     0);
    assert_string_equal(version, "1.0.2-dev");
    assert_string_equal(cgroup, "/default/t1");
    assert_string_equal(path, oci_fixture_root);
    oci_fixture_json(args, "[\"sh\"]");
    json_t *section = json_object_get(spec, "linux");
    assert_int_equal(json_array_size(json_object_get(section, "maskedPaths")), 10);
    assert_null(json_object_get(json_object_get(section, "resources"), "cpu"));
    assert_null(json_object_get(spec, "annotations"));
}

static void test_what_is_required(void **state)
{
    (void)state;
    oci_spec_options_t options = usual();
    options.args = NULL;
    assert_refused(&options, "no command");
    options.args = LIST("");
    assert_refused(&options, "command is empty");

    options = usual();
    options.id = "../x";
    assert_refused(&options, "container id ../x");
    options.id = "";
    assert_refused(&options, "no container id");
    AUTO_FREE char *name = oci_fixture_filled('a', 77);
    options.id = name;
    assert_refused(&options, "77 bytes long, limit 76");
    options.id = name + 1;
    json_decref(new_spec(&options));
    options.ns = NULL;
    assert_refused(&options, "no namespace");

    options = usual();
    options.rootfs = "";
    assert_refused(&options, "no root filesystem");
    options.rootfs = "/nowhere/at/all";
    assert_refused(&options, "root filesystem /nowhere/at/all: No such file");
    options.rootfs = oci_fixture_at("root/etc/passwd");
    assert_refused(&options, "Not a directory");
}

static void test_number_limits(void **state)
{
    (void)state;
    static const struct {
        double cpus;
        bool good;
    } cpus[] = {{0.01, true}, {8192, true}, {0.009, false},    {8192.01, false},
                {-1, false},  {NAN, false}, {INFINITY, false}, {-0.0, true}};
    for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
        oci_spec_options_t options = usual();
        options.cpus = cpus[i].cpus;
        if (cpus[i].good)
            json_decref(new_spec(&options));
        else
            assert_refused(&options, "--cpus");
    }
    static const struct {
        int64_t quota;
        uint64_t period;
        const char *refusal;
    } quotas[] = {
        {-1, 1000, NULL},
        {0, 0, NULL},
        {1000, 1000000, NULL},
        {8192000000, 0, NULL},
        {-2, 0, "--cpu-quota -2"},
        {999, 0, "1000 to 8192000000 microseconds"},
        {8192000001, 0, "--cpu-quota"},
        {-1, 999, "--cpu-period 999"},
        {-1, 1000001, "1000 to 1000000"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(quotas); i++) {
        oci_spec_options_t options = usual();
        options.cpu_quota = quotas[i].quota;
        options.cpu_period = quotas[i].period;
        if (quotas[i].refusal)
            assert_refused(&options, quotas[i].refusal);
        else
            json_decref(new_spec(&options));
    }
    oci_spec_options_t options = usual();
    options.memory_limit = (uint64_t)INT64_MAX + 1;
    assert_refused(&options, "limit 9223372036854775807 bytes");
    options.memory_limit = 0;
    options.cpu_shares = 262145;
    assert_refused(&options, "--cpu-shares 262145: must be 0 or 2 to 262144");
    options.cpu_shares = 1;
    assert_refused(&options, "--cpu-shares 1");
    options.cpu_shares = 262144;
    json_decref(new_spec(&options));
}

static void test_cpuset_and_nofile(void **state)
{
    (void)state;
    static const char *const bad_sets[] = {"a",  "1,",    ",1",  "3-1", "1-",
                                           "-1", "65536", "0 1", "1--2"};
    for (size_t i = 0; i < ARRAY_SIZE(bad_sets); i++) {
        oci_spec_options_t options = usual();
        options.cpuset_mems = bad_sets[i];
        assert_refused(&options, "--cpuset-mems");
    }
    static const char *const bad_files[] = {"",    "x",          "5:",    ":5",
                                            "6:5", "1073741817", "1:2:3", "-1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad_files); i++) {
        oci_spec_options_t options = usual();
        options.rlimit_nofile = bad_files[i];
        assert_refused(&options, "--rlimit-nofile");
    }
    oci_spec_options_t options = usual();
    options.cpuset_cpus = "0-65535,7";
    options.rlimit_nofile = "1073741816";
    json_auto_t *spec = new_spec(&options);
    json_t *rlimits = json_object_get(json_object_get(spec, "process"), "rlimits");
    oci_fixture_json(rlimits,
                     "[{\"hard\":1073741816,\"soft\":1073741816,\"type\":\"RLIMIT_NOFILE\"}]");
}

static void test_text_limits(void **state)
{
    (void)state;
    AUTO_FREE char *longest = oci_fixture_filled('x', OCI_TEXT_SIZE_MAX);
    AUTO_FREE char *too_long = oci_fixture_filled('x', OCI_TEXT_SIZE_MAX + 1);
    oci_spec_options_t options = usual();
    options.args = LIST("sh", longest);
    json_decref(new_spec(&options));
    options.args = LIST("sh", too_long);
    assert_refused(&options, "xxx...: 131072 bytes long, limit 131071");

    options = usual();
    AUTO_FREE char *hostname = oci_fixture_filled('h', 65);
    options.hostname = hostname;
    assert_refused(&options, "65 bytes long, limit 64");
    options.hostname = hostname + 1;
    json_decref(new_spec(&options));

    options = usual();
    AUTO_FREE char *annotation = util_format("%.4097s=v", longest);
    options.annotations = LIST(annotation);
    assert_refused(&options, "limit 4096");

    options = usual();
    AUTO_FREE char *cwd = oci_fixture_filled('/', 4096);
    options.cwd = cwd;
    assert_refused(&options, "--cwd");
}

/* What is no UTF-8 cannot be in JSON; the sentence itself must be UTF-8 and on one line. */
static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    oci_spec_options_t options = usual();
    options.env = LIST("A=\xff\xfe");
    assert_refused(&options, "--env A=\?\?: not in UTF-8");
    options = usual();
    options.annotations = LIST("\xc3=\xa4");
    assert_refused(&options, "not in UTF-8");
    options = usual();
    options.args = LIST("a\nb\xf0\x9f");
    assert_refused(&options, "command argument a?b\?\?");

    /* A cut inside of a character shows none of it. */
    status_t st = {0};
    AUTO_FREE char *value = oci_fixture_filled('a', 99);
    AUTO_FREE char *wide = util_format("%s\u00e4\u00e4", value);
    oci_text_refuse(&st, "--flag", wide, "no");
    AUTO_FREE char *expected = util_format("--flag %s...: no", value);
    assert_string_equal(st.text, expected);
}

static void test_lists_are_limited(void **state)
{
    (void)state;
    char *many[OCI_TEXT_LIST_MAX + 2] = {0};
    for (size_t i = 0; i <= OCI_TEXT_LIST_MAX; i++)
        many[i] = "A=1";
    oci_spec_options_t options = usual();
    options.env = many;
    assert_refused(&options, "--env is given more than 1024 times");
    options = usual();
    options.annotations = many;
    assert_refused(&options, "--annotation is given more than");
    many[OCI_TEXT_LIST_MAX] = NULL;
    json_decref(new_spec(&options));

    char *args[OCI_PROCESS_ARGS_MAX + 2] = {0};
    for (size_t i = 0; i <= OCI_PROCESS_ARGS_MAX; i++)
        args[i] = "a";
    options = usual();
    options.args = args;
    assert_refused(&options, "more than 4096 command arguments");
    args[OCI_PROCESS_ARGS_MAX] = NULL;
    json_decref(new_spec(&options));
}

static void test_spec_size_is_limited(void **state)
{
    (void)state;
    AUTO_FREE char *longest = oci_fixture_filled('x', OCI_TEXT_SIZE_MAX);
    char *args[34] = {0};
    for (size_t i = 0; i < 33; i++)
        args[i] = longest;
    oci_spec_options_t options = usual();
    options.args = args;
    assert_refused(&options, "bytes long, limit 4194304");
}

static void test_config_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *part;
    } bad[] = {
        {"", "not JSON: line 1"},
        {"\n\nnope", "not JSON: line 3"},
        {"{\"ociVersion\":\"1\"} x", "not JSON"},
        {"{\"a\":1,\"a\":2}", "duplicate object key"},
        {"{\"a\":18446744073709551615}", "too big integer"},
        {"{\"a\":\"\xff\"}", "not JSON"},
        {"[]", "no OCI spec"},
        {"{}", "no OCI spec: Object item not found: ociVersion"},
        {"{\"ociVersion\":\"1\",\"root\":{\"path\":\"/\"}}", "process"},
        {"{\"ociVersion\":\"1\",\"process\":{\"args\":[],\"cwd\":\"/\"},\"root\":{\"path\":\"/\"}}",
         "process.args"},
        {"{\"ociVersion\":\"1\",\"process\":{\"args\":[1],\"cwd\":\"/\"},\"root\":{\"path\":\"/"
         "\"}}",
         "process.args"},
        {"{\"ociVersion\":\"1\",\"process\":{\"args\":\"x\",\"cwd\":\"/\"},\"root\":{\"path\":\"/"
         "\"}}",
         "process.args"},
        {"{\"ociVersion\":\"1\",\"process\":{\"args\":[\"x\"],\"cwd\":\"/\",\"terminal\":\"y\"},"
         "\"root\":{\"path\":\"/\"}}",
         "no OCI spec"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        oci_fixture_write(oci_fixture_at("config"), bad[i].text);
        assert_load_refused(oci_fixture_at("config"), bad[i].part);
    }
    assert_load_refused("-", "--config -: No such file");
    assert_load_refused(oci_fixture_home, "Is a directory");
    assert_int_equal(truncate(oci_fixture_at("config"), OCI_FILE_CONFIG_MAX + 1), 0);
    assert_load_refused(oci_fixture_at("config"), "longer than 4194304 bytes");

    AUTO_FREE char *nested = oci_fixture_filled('[', 1000 * 1000);
    oci_fixture_write(oci_fixture_at("config"), nested);
    assert_load_refused(oci_fixture_at("config"), "not JSON");
}

static void test_config_is_taken_as_it_is(void **state)
{
    (void)state;
    status_t st = {0};
    oci_fixture_write(oci_fixture_at("config"),
                      "{\"new\":{\"field\":1.5},\"ociVersion\":\"9\",\"process\":{\"args\":[\"a\"],"
                      "\"cwd\":\"/\"},\"root\":{\"path\":\"r\"}}");
    json_t *loaded = NULL;
    assert_int_equal(oci_spec_load(oci_fixture_at("config"), &loaded, &st), STATUS_OK);
    json_auto_t *spec = loaded;
    assert_int_equal(oci_spec_add_labels(spec, LIST("a=b=c", "d", "a=e"), &st), STATUS_OK);
    oci_fixture_json(spec, "{\"annotations\":{\"a\":\"e\",\"d\":\"true\"},\"new\":{\"field\":1.5},"
                           "\"ociVersion\":\"9\",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"},"
                           "\"root\":{\"path\":\"r\"}}");
    assert_int_equal(oci_spec_add_labels(spec, LIST("=v"), &st), STATUS_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_default),           ROW(test_what_is_required),
        ROW(test_number_limits),     ROW(test_cpuset_and_nofile),
        ROW(test_text_limits),       ROW(test_bytes_that_are_no_text),
        ROW(test_lists_are_limited), ROW(test_spec_size_is_limited),
        ROW(test_config_refused),    ROW(test_config_is_taken_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
