/* What /proc tells of processes. */
#include "common/proc.h"
#include "common/proc_socket.h"

#include "common/util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_process_is_known_by_its_start(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "a) b (c");
        for (;;)
            pause();
    }
    uint64_t start = proc_start_time(child);
    assert_true(start >= proc_start_time(getpid()));
    assert_int_equal(proc_parent(child), getpid());
    assert_int_equal(proc_user(child), getuid());
    AUTO_CLOSE int open = proc_open(child, start);
    assert_true(open >= 0);
    AUTO_CLOSE int any = proc_open(child, 0);
    assert_true(any >= 0);
    assert_int_equal(proc_open(child, start + 1), -1);
    assert_int_equal(errno, ESRCH);
    char name[PROC_NAME_SIZE];
    assert_true(proc_name(child, name));
    AUTO_CLOSE int named = proc_open_named(name);
    assert_true(named >= 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(proc_start_time(child), 0);
    assert_int_equal(proc_user(child), (uid_t)-1);
    assert_int_equal(proc_open(child, start), -1);
    assert_int_equal(proc_open(0, 0), -1);
    assert_int_equal(proc_open_named(name), -1);
    assert_int_equal(errno, ESRCH);
    assert_false(proc_name(child, name));
    assert_int_equal(proc_open_named(name), -1);
    assert_int_equal(errno, ESRCH);
}

static void a_name_of_another_boot_names_nobody(void **state)
{
    static const char *const bad[] = {"", "x", "-", "-1-1", "01234567-1", "01234567--"};
    char name[PROC_NAME_SIZE];
    (void)state;
    assert_true(proc_name(getpid(), name));
    AUTO_CLOSE int own = proc_open_named(name);
    assert_true(own >= 0);
    name[0] = name[0] == '0' ? '1' : '0';
    assert_int_equal(proc_open_named(name), -1);
    assert_int_equal(errno, ESRCH);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(proc_open_named(bad[i]), -1);
}

static int listen_at(const struct sockaddr_un *address, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)address, (socklen_t)size), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void the_listener_of_a_socket_is_found(void **state)
{
    (void)state;
    struct sockaddr_un path = {.sun_family = AF_UNIX}, abstract = {.sun_family = AF_UNIX};
    char address[128], name[64];
    snprintf(path.sun_path, sizeof path.sun_path, "/tmp/test-proc-%d", (int)getpid());
    int length = snprintf(name, sizeof name, "/test-proc/%d", (int)getpid());
    memcpy(abstract.sun_path + 1, name, (size_t)length);
    snprintf(address, sizeof address, "unix://%s", path.sun_path);

    assert_int_equal(proc_find_listener(address), 0);
    int first = listen_at(&path, sizeof path);
    int second = listen_at(&abstract, offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    assert_int_equal(proc_find_listener(address), getpid());
    assert_int_equal(proc_find_listener(name), getpid());
    AUTO_FREE char *place = proc_listens_at(getpid());
    assert_string_equal(place, path.sun_path);
    close(first);
    close(second);
    unlink(path.sun_path);
    assert_int_equal(proc_find_listener(address), 0);
    assert_null(proc_listens_at(getpid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_known_by_its_start),
        cmocka_unit_test(a_name_of_another_boot_names_nobody),
        cmocka_unit_test(the_listener_of_a_socket_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
