/* Failpoints: terms, counts, and what they do. */
#include "common/failpoint.h"

#include "common/failpoint_term.h"
#include "common/util.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    char dir[64];
    cluster_t cluster;
} fixture_t;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static void turn(fixture_t *self, const char *word)
{
    AUTO_FREE char *text = util_format("failpoints = %s\n", word);
    status_t st;
    write_file(self->cluster.config, text);
    assert_int_equal(failpoint_init(&self->cluster, "test", &st), STATUS_OK);
}

static void set_terms(fixture_t *self, const char *name, const char *terms)
{
    AUTO_FREE char *path = util_format("%s/" FAILPOINT_DIR "/%s", self->cluster.run_dir, name);
    write_file(path, terms);
}

static int set_up(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    status_t st;
    snprintf(self->dir, sizeof self->dir, "/tmp/test-failpoint-XXXXXX");
    assert_non_null(mkdtemp(self->dir));
    assert_int_equal(cluster_init(&self->cluster, &st), STATUS_OK);
    assert_int_equal(cluster_set_run_dir(&self->cluster, self->dir, &st), STATUS_OK);
    snprintf(self->cluster.config, sizeof self->cluster.config, "%s/conf", self->dir);
    log_open("test", LOG_LEVEL_ERROR);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    AUTO_FREE char *command = util_format("rm -r %s", self->dir);
    assert_int_equal(system(command), 0);
    failpoint_is_on = false;
    free(self);
    return 0;
}

static void they_are_off_unless_the_configuration_says_so(void **state)
{
    fixture_t *self = *state;
    status_t st;
    assert_int_equal(failpoint_init(&self->cluster, "test", &st), STATUS_OK);
    assert_false(failpoint_is_on);
    turn(self, "off");
    assert_false(failpoint_is_on);
    assert_int_equal(FAILPOINT(&st, "a"), STATUS_OK);
}

static void terms_are_met_in_turn(void **state)
{
    fixture_t *self = *state;
    status_t st;
    turn(self, "on");
    assert_int_equal(FAILPOINT(&st, "create %s before", "start shim"), STATUS_OK);
    set_terms(self, "test.a-b", "1*off->2*error(no good)->1*delay(1)->error(for ever)\n");
    assert_int_equal(FAILPOINT(&st, "a b"), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(FAILPOINT(&st, "a b"), STATUS_UNKNOWN);
        assert_non_null(strstr(st.text, "no good"));
    }
    assert_int_equal(FAILPOINT(&st, "a b"), STATUS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(FAILPOINT(&st, "a b"), STATUS_UNKNOWN);
    set_terms(self, "test.bad", "2*wrong(x->");
    assert_int_equal(FAILPOINT(&st, "bad"), STATUS_OK);
}

static void a_process_without_a_configuration_has_those_of_its_parent(void **state)
{
    fixture_t *self = *state;
    status_t st;
    turn(self, "on");
    AUTO_FREE char *directory = strdup(failpoint_directory());
    failpoint_inherit(NULL, "child");
    assert_null(failpoint_directory());
    assert_int_equal(FAILPOINT(&st, "a"), STATUS_OK);
    failpoint_inherit(directory, "child");
    set_terms(self, "child.a", "error(x)");
    assert_int_equal(FAILPOINT(&st, "a"), STATUS_UNKNOWN);
}

static void a_process_that_died_goes_past_it_the_next_time(void **state)
{
    fixture_t *self = *state;
    turn(self, "on");
    set_terms(self, "test.a", "1*panic");
    for (int i = 0; i < 2; i++) {
        int wait_status;
        status_t st;
        pid_t child = fork();
        if (child == 0)
            _exit(FAILPOINT(&st, "a") ? 1 : 0);
        waitpid(child, &wait_status, 0);
        if (i == 0)
            assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
        else
            assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(they_are_off_unless_the_configuration_says_so, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(terms_are_met_in_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_without_a_configuration_has_those_of_its_parent,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_that_died_goes_past_it_the_next_time, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
