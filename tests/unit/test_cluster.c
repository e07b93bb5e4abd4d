/* Where a cluster is, and what a supervisor passes to its processes. */
#include "common/cluster.h"

#include "common/util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <setjmp.h>

#include <cmocka.h>

static int reset(void **state)
{
    static const char *const names[] = {"SHIMD_RUN_DIR", "SHIMD_ROOT_DIR", "LISTEN_PID",
                                        "LISTEN_FDS",    "LISTEN_FDNAMES", "SHIMD_READY_FD",
                                        "SHIMD_LOCK_FD"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unsetenv(names[i]);
    return 0;
}

static bool is_close_on_exec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void set_number(const char *name, int number)
{
    AUTO_FREE char *text = util_format("%d", number);
    setenv(name, text, 1);
}

static void test_defaults(void **state)
{
    (void)state;
    cluster_t cluster;
    status_t st;
    assert_int_equal(cluster_init(&cluster, &st), STATUS_OK);
    assert_string_equal(cluster.run_dir, "/run/shimd");
    assert_string_equal(cluster.root_dir, "/var/lib/shimd");
    assert_string_equal(cluster.config, "/etc/shimd/shimd.conf");
    assert_int_equal(cluster.log_level, LOG_LEVEL_INFO);
}

static void test_environment(void **state)
{
    (void)state;
    cluster_t cluster;
    status_t st;
    setenv("SHIMD_RUN_DIR", "/a/run", 1);
    setenv("SHIMD_ROOT_DIR", "/a/root/", 1);
    assert_int_equal(cluster_init(&cluster, &st), STATUS_OK);
    assert_string_equal(cluster.run_dir, "/a/run");
    assert_string_equal(cluster.root_dir, "/a/root");

    setenv("SHIMD_RUN_DIR", "", 1);
    assert_int_equal(cluster_init(&cluster, &st), STATUS_OK);
    assert_string_equal(cluster.run_dir, CLUSTER_RUN_DIR);

    AUTO_FREE char *text = util_format("/%0*d", CLUSTER_RUN_DIR_MAX, 0);
    setenv("SHIMD_RUN_DIR", text, 1);
    assert_int_equal(cluster_init(&cluster, &st), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "SHIMD_RUN_DIR: "));
    assert_string_equal(cluster.run_dir, CLUSTER_RUN_DIR);
}

static void test_names_become_absolute(void **state)
{
    (void)state;
    static const struct {
        const char *given, *wanted; /* the latter behind the working directory when relative */
    } rows[] = {{"/a", "/a"},           {"/a/b///", "/a/b"}, {"//a/./b", "/a/b"}, {"/", "/"},
                {"/a/../b", "/a/../b"}, {"/.a", "/.a"},      {"x/./y/", "x/y"},   {".", ""}};
    char cwd[PATH_MAX];
    assert_non_null(getcwd(cwd, sizeof cwd));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cluster_t cluster;
        status_t st;
        cluster_init(&cluster, &st);
        const char *wanted = rows[i].wanted;
        AUTO_FREE char *below = util_format("%s%s%s", cwd, *wanted ? "/" : "", wanted);
        assert_int_equal(cluster_set_root_dir(&cluster, rows[i].given, &st), STATUS_OK);
        assert_string_equal(cluster.root_dir, *wanted == '/' ? wanted : below);
    }
}

static void test_limits(void **state)
{
    (void)state;
    cluster_t cluster;
    status_t st;
    cluster_init(&cluster, &st);
    AUTO_FREE char *fits = util_format("/%0*d", CLUSTER_RUN_DIR_MAX - 1, 0);
    AUTO_FREE char *too_long = util_format("%s0", fits);
    assert_int_equal(cluster_set_run_dir(&cluster, fits, &st), STATUS_OK);
    for (cluster_socket_t i = 0; i < CLUSTER_SOCKETS; i++) {
        AUTO_FREE char *path = cluster_socket_path(&cluster, i);
        assert_true(strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path);
    }
    assert_int_equal(cluster_set_run_dir(&cluster, too_long, &st), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "86 bytes"));
    assert_non_null(strstr(st.text, "limit is 85"));
    assert_string_equal(cluster.run_dir, fits);
    assert_int_equal(cluster_set_run_dir(&cluster, "", &st), STATUS_INVALID_ARGUMENT);

    AUTO_FREE char *root = util_format("/%0*d", CLUSTER_ROOT_DIR_MAX, 0);
    assert_int_equal(cluster_set_root_dir(&cluster, root, &st), STATUS_INVALID_ARGUMENT);
}

static void test_endpoints(void **state)
{
    (void)state;
    cluster_t cluster;
    status_t st;
    cluster_init(&cluster, &st);
    AUTO_FREE char *endpoint = cluster_endpoint(&cluster, CLUSTER_EVENTS);
    AUTO_FREE char *path = cluster_socket_path(&cluster, CLUSTER_SHIM_EVENTS);
    assert_string_equal(endpoint, "ipc:///run/shimd/events.sock");
    assert_string_equal(path, "/run/shimd/shim-events.sock");
}

static void test_inherited_sockets(void **state)
{
    (void)state;
    /* Whatever is 3 and 4 here is only looked at, and given its flags back. */
    int keep[2] = {fcntl(3, F_DUPFD_CLOEXEC, 10), fcntl(4, F_DUPFD_CLOEXEC, 10)};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(dup2(null, 3) == 3 && dup2(null, 4) == 4);
    setenv("LISTEN_FDNAMES", "client.sock:worker.sock:events.sock", 1);
    set_number("LISTEN_FDS", 2);
    assert_int_equal(cluster_inherited_socket(CLUSTER_CLIENT), -1); /* LISTEN_PID is missing */
    set_number("LISTEN_PID", getpid() + 1);
    assert_int_equal(cluster_inherited_socket(CLUSTER_CLIENT), -1); /* meant for another process */
    set_number("LISTEN_PID", getpid());
    assert_int_equal(cluster_inherited_socket(CLUSTER_CLIENT), 3);
    assert_int_equal(cluster_inherited_socket(CLUSTER_WORKER), 4);
    assert_int_equal(cluster_inherited_socket(CLUSTER_EVENTS), -1);  /* beyond LISTEN_FDS */
    assert_int_equal(cluster_inherited_socket(CLUSTER_PUBLISH), -1); /* not named */
    assert_true(is_close_on_exec(3) && is_close_on_exec(4));

    setenv("LISTEN_FDS", "2x", 1);
    assert_int_equal(cluster_inherited_socket(CLUSTER_CLIENT), -1);
    setenv("LISTEN_FDS", "99999999999999999999", 1);
    assert_int_equal(cluster_inherited_socket(CLUSTER_CLIENT), -1);
    set_number("LISTEN_FDS", 2);
    setenv("LISTEN_FDNAMES", "client.sock.old:client", 1);
    assert_int_equal(cluster_inherited_socket(CLUSTER_CLIENT), -1);
    for (int i = 0; i < 2; i++)
        if (keep[i] < 0 || dup3(keep[i], 3 + i, O_CLOEXEC) < 0)
            close(3 + i);
    if (null > 4)
        close(null);
}

static void test_everything_passed_becomes_close_on_exec(void **state)
{
    (void)state;
    int ready[2], lock = open("/dev/null", O_RDONLY);
    assert_int_equal(pipe(ready), 0);
    assert_false(is_close_on_exec(lock));
    set_number("SHIMD_READY_FD", ready[1]);
    set_number("SHIMD_LOCK_FD", lock);
    cluster_inherit();
    assert_true(is_close_on_exec(lock) && is_close_on_exec(ready[1]));
    assert_null(getenv("SHIMD_LOCK_FD"));
    assert_non_null(getenv("SHIMD_READY_FD"));

    setenv("SHIMD_LOCK_FD", "rubbish", 1);
    cluster_inherit();
    close(lock);
    close(ready[0]);
    close(ready[1]);
}

static void test_ready_is_a_newline_once_and_busy_a_plus(void **state)
{
    (void)state;
    int ready[2];
    char words[8];
    assert_int_equal(pipe2(ready, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(cluster_notify_busy()); /* nobody would kill us */
    set_number("SHIMD_READY_FD", ready[1]);
    cluster_notify_ready();
    cluster_notify_ready();
    assert_int_equal(read(ready[0], words, sizeof words), 1);
    assert_int_equal(words[0], '\n');
    assert_int_equal(read(ready[0], words, sizeof words), -1);
    assert_true(cluster_notify_busy());
    assert_int_equal(read(ready[0], words, sizeof words), 1);
    assert_int_equal(words[0], '+');
    close(ready[0]);
    signal(SIGPIPE, SIG_IGN);
    assert_false(cluster_notify_busy());
}

static void clusters_have_cgroups_of_their_own(void **state)
{
    cluster_t standard, other;
    status_t st;
    (void)state;
    assert_int_equal(cluster_init(&standard, &st), STATUS_OK);
    assert_int_equal(cluster_init(&other, &st), STATUS_OK);
    assert_int_equal(cluster_set_run_dir(&other, "/tmp/other", &st), STATUS_OK);
    AUTO_FREE char *first = cluster_cgroup(&standard);
    AUTO_FREE char *second = cluster_cgroup(&other);
    AUTO_FREE char *again = cluster_cgroup(&other);
    assert_string_equal(first, "/shimd");
    assert_memory_equal(second, "/shimd-", strlen("/shimd-"));
    assert_string_equal(second, again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, reset),
        cmocka_unit_test_setup(test_environment, reset),
        cmocka_unit_test_setup(test_names_become_absolute, reset),
        cmocka_unit_test_setup(test_limits, reset),
        cmocka_unit_test_setup(test_endpoints, reset),
        cmocka_unit_test_setup(test_inherited_sockets, reset),
        cmocka_unit_test_setup(test_everything_passed_becomes_close_on_exec, reset),
        cmocka_unit_test_setup(test_ready_is_a_newline_once_and_busy_a_plus, reset),
        cmocka_unit_test_setup(clusters_have_cgroups_of_their_own, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
