/* The supervisor's configuration file and its obituaries. */
#include "broker/supervisor/obituary.h"
#include "broker/supervisor/settings.h"

#include "common/util.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <setjmp.h>

#include <cmocka.h>

static status_code_t read_text(const char *text, settings_t *settings, status_t *st)
{
    char path[] = "/tmp/test-settings-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    settings_init(settings);
    status_code_t code = settings_read(settings, path, true, st);
    unlink(path);
    return code;
}

static void test_values_are_taken(void **state)
{
    (void)state;
    settings_t settings;
    status_t st;
    assert_int_equal(read_text("# comment\nlog-level = debug\nsocket-group = shimd\nrestart\n"
                               "    intensity = 0\n    period = 2\n    first-delay = 10\n"
                               "    last-delay = 20\n    attempts = 4\n    failed-delay = 9\n"
                               "    start-timeout = 7\n    stop-timeout = 8\n",
                               &settings, &st),
                     STATUS_OK);
    assert_int_equal(settings.log_level, LOG_LEVEL_DEBUG);
    assert_string_equal(settings.socket_group, "shimd");
    const child_policy_t *policy = &settings.policy;
    assert_int_equal(policy->intensity, 0);
    assert_int_equal(policy->period, 2000);
    assert_int_equal(policy->first_delay, 10);
    assert_int_equal(policy->last_delay, 20);
    assert_int_equal(policy->attempts, 4);
    assert_int_equal(policy->failed_delay, 9000);
    assert_int_equal(policy->start_timeout, 7000);
    assert_int_equal(policy->stop_timeout, 8000);
    assert_int_equal(policy->settled_after, child_policy_default.settled_after);
}

static void test_nothing_changes_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "broker\nbundle\n",
                                        "shim\n    runtime\n        deep = 1\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        settings_t settings, plain;
        status_t st;
        settings_init(&plain);
        assert_int_equal(read_text(texts[i], &settings, &st), STATUS_OK);
        assert_int_equal(settings.policy.intensity, plain.policy.intensity);
        assert_int_equal(settings.policy.start_timeout, plain.policy.start_timeout);
        assert_int_equal(settings.log_level, plain.log_level);
    }
}

/* Of sections that are others' it is known who reads them. */
static void test_readers(void **state)
{
    (void)state;
    settings_t settings;
    status_t st;
    assert_int_equal(read_text("log-level = info\nbroker\n", &settings, &st), STATUS_OK);
    assert_int_equal(settings.reader_count, 0);
    assert_int_equal(read_text("journal\n    x = 1\nshim\n    y = 1\nmetadata\n    z = 1\n"
                               "shim\n    y = 2\n",
                               &settings, &st),
                     STATUS_OK);
    assert_int_equal(settings.reader_count, 2);
    assert_string_equal(settings.readers[0], "shimd-metadata");
    assert_string_equal(settings.readers[1], "shimd-shim");
}

static void test_faults_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *named;
    } rows[] = {
        {"colour = red\n", "unknown key colour"},
        {"log-level = loud\n", "log-level = loud: not error"},
        {"log-level\n    x = 1\n", "unknown key log-level"},
        {"restart\n    jitter = 1\n", "unknown key restart/jitter"},
        {"restart\n    period = 0\n", "restart/period = 0: not a whole number from 1 to 3600"},
        {"restart\n    period = 1.5\n", "restart/period = 1.5"},
        {"restart\n    period = 99999999999999999999\n", "restart/period"},
        {"restart\n    period =\n", "restart/period"},
        {"restart\n    first-delay = 100\n    last-delay = 10\n", "restart/last-delay = 10: less"},
        {"socket-group = "
         "0123456789012345678901234567890123456789012345678901234567890123456789\n",
         "socket-group: longer"},
        {"broker\n    speed = 1\n", "unknown key broker/speed"},
        {"bundle\n    store\n        deep = 1\n", "unknown key bundle/store"},
        {"one = 1\ntwo\n   odd = 1\n", "not readable as ZPL"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        settings_t settings;
        status_t st;
        assert_int_equal(read_text(rows[i].text, &settings, &st), STATUS_INVALID_ARGUMENT);
        if (!strstr(st.text, rows[i].named))
            fail_msg("row %zu says: %s", i, st.text);
    }
}

static void test_missing_file(void **state)
{
    (void)state;
    settings_t settings;
    status_t st;
    settings_init(&settings);
    assert_int_equal(settings_read(&settings, "/nonexistent/shimd.conf", false, &st), STATUS_OK);
    assert_int_equal(settings_read(&settings, "/nonexistent/shimd.conf", true, &st),
                     STATUS_INTERNAL);
    assert_int_equal(settings_read(&settings, "/", false, &st), STATUS_INVALID_ARGUMENT);
}

static void test_obituaries(void **state)
{
    (void)state;
    const struct {
        obituary_t death;
        const char *wanted;
    } rows[] = {
        {{.pid = 7, .wait_status = 3 << 8, .uptime_ms = 12, .ready_ms = -1},
         "process 7 exited with 3 after 0.012 s, before it was ready"},
        {{.pid = 8, .wait_status = SIGKILL, .uptime_ms = 61005, .ready_ms = 60999},
         "process 8 killed by SIGKILL after 61.005 s, ready for 60.999 s"},
        {{.pid = 9, .wait_status = SIGSEGV | WCOREFLAG, .uptime_ms = 1, .ready_ms = 0},
         "process 9 killed by SIGSEGV (core dumped) after 0.001 s, ready for 0.000 s"},
        {{.pid = 9, .wait_status = 40, .uptime_ms = 1, .ready_ms = 0},
         "process 9 killed by signal 40 after 0.001 s, ready for 0.000 s"},
        {{.pid = 9, .wait_status = 127 << 8, .exec_error = ENOENT},
         "process 9 could not be executed: No such file or directory"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[OBITUARY_SIZE];
        obituary_write(&rows[i].death, text);
        assert_string_equal(text, rows[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_taken), cmocka_unit_test(test_nothing_changes_nothing),
        cmocka_unit_test(test_readers),          cmocka_unit_test(test_faults_are_named),
        cmocka_unit_test(test_missing_file),     cmocka_unit_test(test_obituaries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
