/* Descriptors watched through a nested epoll. */
#include "common/io_set.h"

#include "common/util.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <setjmp.h>

#include <cmocka.h>

#define PIPES 200 /* more than one wake-up takes */

typedef struct fixture {
    zloop_t *loop;
    io_set_t *io;
    int pipes[PIPES][2];
    int calls, wanted;
    uint32_t events;
} fixture_t;

static int stop(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    (void)arg;
    return -1;
}

/* Turns the loop until everything that is ready has been handled. */
static void turn(fixture_t *self)
{
    for (int i = 0; i < 1 + PIPES / 32; i++) {
        zloop_timer(self->loop, 1, 1, stop, NULL);
        zloop_start(self->loop);
    }
}

static int set_up(void **state)
{
    fixture_t *self = zmalloc(sizeof *self);
    zsys_handler_set(NULL);
    self->loop = zloop_new();
    self->io = io_set_new(self->loop);
    for (int i = 0; i < PIPES; i++)
        assert_int_equal(pipe2(self->pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    io_set_destroy(&self->io);
    zloop_destroy(&self->loop);
    for (int i = 0; i < PIPES; i++) {
        util_close(&self->pipes[i][0]);
        util_close(&self->pipes[i][1]);
    }
    free(self);
    return 0;
}

static void feed(fixture_t *self, int i)
{
    assert_int_equal(write(self->pipes[i][1], "x", 1), 1);
}

static void on_byte(void *arg, int fd, uint32_t events)
{
    fixture_t *self = arg;
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
    self->calls++;
    self->events = events;
}

static void test_all_are_served(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < PIPES; i++) {
        assert_int_equal(io_set_add(self->io, self->pipes[i][0], EPOLLIN, on_byte, self), 0);
        feed(self, i);
    }
    turn(self);
    assert_int_equal(self->calls, PIPES);
    assert_true(self->events & EPOLLIN);
}

static void test_refusals(void **state)
{
    fixture_t *self = *state;
    int fd = self->pipes[0][0];
    assert_int_equal(io_set_add(self->io, -1, EPOLLIN, on_byte, self), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(io_set_add(self->io, fd, EPOLLIN, on_byte, self), 0);
    assert_int_equal(io_set_add(self->io, fd, EPOLLIN, on_byte, self), -1);
    assert_int_equal(errno, EEXIST);
    AUTO_CLOSE int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(io_set_add(self->io, file, EPOLLIN, on_byte, self), -1);
    assert_int_equal(errno, EPERM);
    io_set_remove(self->io, file);
    io_set_remove(self->io, -1);
    io_set_remove(self->io, 1 << 20);
}

static void test_change(void **state)
{
    fixture_t *self = *state;
    int fd = self->pipes[0][0];
    assert_int_equal(io_set_add(self->io, fd, 0, on_byte, self), 0);
    feed(self, 0);
    turn(self);
    assert_int_equal(self->calls, 0);
    io_set_change(self->io, fd, EPOLLIN);
    turn(self);
    assert_int_equal(self->calls, 1);
}

/* Each handler removes all the others: one of those that were ready together is called. */
static void remove_others(void *arg, int fd, uint32_t events)
{
    fixture_t *self = arg;
    on_byte(arg, fd, events);
    for (int i = 0; i < PIPES; i++)
        io_set_remove(self->io, self->pipes[i][0]);
}

static void test_no_call_after_removal(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(io_set_add(self->io, self->pipes[i][0], EPOLLIN, remove_others, self), 0);
        feed(self, i);
    }
    turn(self);
    assert_int_equal(self->calls, 1);
}

static void unexpected(void *arg, int fd, uint32_t events)
{
    (void)arg;
    (void)events;
    fail_msg("called for %d, which took the number of a removed one", fd);
}

/* Replaces the other descriptor by a quiet one of the same number. */
static void replace_other(void *arg, int fd, uint32_t events)
{
    fixture_t *self = arg;
    int other = self->pipes[0][0] == fd ? self->pipes[1][0] : self->pipes[0][0];
    on_byte(arg, fd, events);
    if (self->calls > 1)
        return;
    io_set_remove(self->io, other);
    assert_int_equal(dup2(self->pipes[2][0], other), other);
    assert_int_equal(io_set_add(self->io, other, EPOLLIN, unexpected, self), 0);
}

static void test_successor_is_not_called_for_its_predecessor(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(io_set_add(self->io, self->pipes[i][0], EPOLLIN, replace_other, self), 0);
        feed(self, i);
    }
    turn(self);
    assert_int_equal(self->calls, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_are_served),
        TEST(refusals),
        TEST(change),
        TEST(no_call_after_removal),
        TEST(successor_is_not_called_for_its_predecessor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
