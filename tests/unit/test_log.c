/* Log lines that standard error does not take. */
#include "common/log.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LINES     100
#define LINE_SIZE 1000 /* of the text of each: all of them are more than any of these takes */
#define BLOCKED_S 20   /* a test that takes that long waits for a reader, and ends */

/* What is standard error meanwhile, and where what is written to it is read. */
typedef struct fixture {
    int before, reader;
} fixture_t;

static int set_up(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    self->before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    self->reader = -1;
    log_open("test", LOG_LEVEL_INFO);
    alarm(BLOCKED_S);
    *state = self;
    return 0;
}

static void put_back(fixture_t *self)
{
    dup2(self->before, STDERR_FILENO);
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    alarm(0);
    put_back(self);
    log_info("nothing is lost"); /* what was lost is not the next test's */
    util_close(&self->before);
    util_close(&self->reader);
    free(self);
    return 0;
}

static void take_place(fixture_t *self, int reader, int writer)
{
    self->reader = reader;
    assert_true(fcntl(reader, F_SETFL, O_NONBLOCK) == 0);
    assert_int_equal(dup2(writer, STDERR_FILENO), STDERR_FILENO);
    close(writer);
}

static void log_many(void)
{
    char text[LINE_SIZE + 1];
    memset(text, 'x', LINE_SIZE);
    text[LINE_SIZE] = '\0';
    for (int i = 0; i < LINES; i++)
        log_info("%s", text);
}

/* All that there is to be read, which the caller frees. */
static char *read_all(const fixture_t *self)
{
    size_t room = (LINES + 1) * (LINE_SIZE + 100), used = 0;
    char *text = calloc(1, room);
    for (ssize_t size; (size = read(self->reader, text + used, room - used - 1)) > 0;)
        used += (size_t)size;
    return text;
}

static unsigned count(const char *text, const char *what)
{
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        found++;
    return found;
}

/* Lines that nobody reads do not hold the writer up; how many are lost is told once there is room.
 */
static void lose_and_tell(fixture_t *self)
{
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    errno = EXDEV;
    log_many();
    assert_int_equal(errno, EXDEV);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL), flags);
    AUTO_FREE char *before = read_all(self);
    log_info("and so on");
    log_info("and on");
    AUTO_FREE char *after = read_all(self);
    put_back(self);

    unsigned whole = count(before, "x\n");
    assert_true(whole < LINES);
    AUTO_FREE char *told =
        util_format("warn: %u lines are lost: nobody read them\n", LINES - whole);
    assert_int_equal(count(after, " are lost"), 1);
    const char *loss = strstr(after, told), *next = strstr(after, "info: and so on\n");
    assert_non_null(loss);
    assert_true(next > loss);
    assert_true(strstr(after, "info: and on\n") > next);
}

static void a_full_pipe_holds_nobody_up(void **state)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
    take_place(*state, ends[0], ends[1]);
    lose_and_tell(*state);
}

static void a_full_socket_holds_nobody_up(void **state)
{
    int ends[2], size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    take_place(*state, ends[0], ends[1]);
    lose_and_tell(*state);
}

static void a_full_terminal_holds_nobody_up(void **state)
{
    struct termios raw;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int user = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(user >= 0 && tcgetattr(user, &raw) == 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(user, TCSANOW, &raw), 0);
    take_place(*state, terminal, user);
    lose_and_tell(*state);
}

static void other_losses_are_told_with_their_cause(void **state)
{
    fixture_t *self = *state;
    int ends[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    take_place(self, ends[0], full);
    log_info("nowhere");
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    log_info("here");
    AUTO_FREE char *text = read_all(self);
    put_back(self);
    assert_non_null(strstr(text, "warn: 1 line is lost: No space left on device\n"));
    assert_non_null(strstr(text, "info: here\n"));
}

static void a_long_line_is_cut(void **state)
{
    fixture_t *self = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    take_place(self, ends[0], ends[1]);
    char text[2 * LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info("%s", text);
    AUTO_FREE char *line = read_all(self);
    put_back(self);
    assert_true(strlen(line) <= LOG_LINE_MAX);
    assert_string_equal(line + strlen(line) - 2, "x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_pipe_holds_nobody_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_socket_holds_nobody_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_terminal_holds_nobody_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_losses_are_told_with_their_cause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
