/* Work in children that may hang, and paths that can be looked at without. */
#include "common/errand.h"
#include "common/local_path.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS  60000
#define SHORT_MS 20

typedef struct outcome {
    io_set_t *io;
    unsigned called;
    status_t st;
    int fd;
} outcome_t;

static void on_done(void *arg, const status_t *st, int fd)
{
    outcome_t *outcome = arg;
    outcome->called++;
    outcome->st = *st;
    outcome->fd = fd;
    io_set_stop(outcome->io);
}

static int hang(const void *arg, status_t *st)
{
    (void)arg;
    (void)st;
    return pause();
}

/* What the child writes there the parent can read. */
static int hand_over(const void *arg, status_t *st)
{
    static const char word[] = "word";
    int ends[2];
    (void)arg;
    if (pipe(ends) || write(ends[1], word, sizeof word) != sizeof word)
        status_errno(st, errno, "pipe");
    return ends[0];
}

static int refuse(const void *arg, status_t *st)
{
    (void)arg;
    /* Only the standard three and the one that it answers on. */
    status_set(st, STATUS_FAILED_PRECONDITION, "open: %d",
               fcntl(STDERR_FILENO + 2, F_GETFD) < 0 ? 0 : 1);
    return -1;
}

static int die(const void *arg, status_t *st)
{
    (void)arg;
    (void)st;
    abort();
}

static int set_up(void **state)
{
    *state = io_set_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    io_set_destroy((io_set_t **)state);
    return 0;
}

static outcome_t run(io_set_t *io, int64_t timeout_ms, errand_work_t *work)
{
    outcome_t outcome = {.io = io};
    errand_begin(io, timeout_ms, work, on_done, &outcome);
    io_set_run(io);
    assert_int_equal(outcome.called, 1);
    return outcome;
}

static void test_a_child_hands_over_what_it_opened(void **state)
{
    char word[8];
    outcome_t outcome = run(*state, LONG_MS, hand_over);
    assert_int_equal(outcome.st.code, STATUS_OK);
    assert_int_equal(read(outcome.fd, word, sizeof word), sizeof "word");
    assert_string_equal(word, "word");
    assert_int_equal(fcntl(outcome.fd, F_GETFD), FD_CLOEXEC);
    close(outcome.fd);
}

static void test_a_child_says_what_is_wrong(void **state)
{
    outcome_t outcome = run(*state, LONG_MS, refuse);
    assert_int_equal(outcome.st.code, STATUS_FAILED_PRECONDITION);
    assert_string_equal(outcome.st.text, "open: 0");
    assert_int_equal(outcome.fd, -1);
}

static void test_a_child_that_dies_is_an_error(void **state)
{
    assert_int_equal(run(*state, LONG_MS, die).st.code, STATUS_INTERNAL);
}

static void turn_until_no_child(io_set_t *io)
{
    siginfo_t info;
    while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT))
        io_set_turn(io);
    assert_int_equal(errno, ECHILD);
}

static void test_who_hangs_is_given_up_and_their_number_is_limited(void **state)
{
    io_set_t *io = *state;
    outcome_t hung[ERRANDS_MAX], refused = {.io = io};
    for (size_t i = 0; i < ERRANDS_MAX; i++) {
        hung[i] = (outcome_t){.io = io};
        errand_begin(io, SHORT_MS, hang, on_done, &hung[i]);
    }
    errand_begin(io, SHORT_MS, hang, on_done, &refused);
    assert_int_equal(refused.called, 1);
    assert_int_equal(refused.st.code, STATUS_RESOURCE_EXHAUSTED);
    turn_until_no_child(io);
    for (size_t i = 0; i < ERRANDS_MAX; i++) {
        assert_int_equal(hung[i].called, 1);
        assert_int_equal(hung[i].st.code, STATUS_DEADLINE_EXCEEDED);
    }
    assert_int_equal(run(io, LONG_MS, refuse).st.code, STATUS_FAILED_PRECONDITION);
}

static void test_local_paths(void **state)
{
    char path[] = "/dev/shm/local-XXXXXX";
    (void)state;
    AUTO_CLOSE int made = mkstemp(path);
    assert_true(made >= 0);
    AUTO_CLOSE int fd = local_path_open(path);
    assert_true(fd >= 0);
    AUTO_CLOSE int below = local_path_open("/dev/shm/local-none/x");
    assert_int_equal(below, -1);
    assert_true(errno == EAGAIN || errno == ENOENT);
    unlink(path);
    AUTO_CLOSE int other = local_path_open("/proc/self/status"); /* as any that is not known */
    assert_int_equal(other, -1);
    assert_int_equal(errno, EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_child_hands_over_what_it_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_child_says_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_child_that_dies_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_hangs_is_given_up_and_their_number_is_limited,
                                        set_up, tear_down),
        cmocka_unit_test(test_local_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
