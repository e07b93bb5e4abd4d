/* Shims found among all processes. The shims are this test itself, by other arguments. */
#include "workers/shim/shim_process.h"

#include "common/proc.h"
#include "common/util.h"

#include <czmq.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOBODY      65534
#define LISTENER    0 /* the standard input of a shim */
#define SHIMS_MAX   4
#define UNIX_PREFIX "unix://"

typedef struct world {
    char dir[64];
    cluster_t cluster;
    pid_t shims[SHIMS_MAX];
    size_t count;
} world_t;

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Returns when it has become its program. `verb` NULL for a shim. */
static pid_t begin(world_t *self, const char *id, const char *verb, const char *socket, uid_t user)
{
    AUTO_FREE char *address = cluster_socket_path(&self->cluster, CLUSTER_CLIENT);
    AUTO_FREE char *path = util_format("%s/%s", self->dir, socket);
    AUTO_CLOSE int listener = listen_at(path);
    int begun[2];
    char none;
    assert_int_equal(pipe2(begun, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(listener, LISTENER) < 0 || setresuid(user, user, user) ||
            prctl(PR_SET_PDEATHSIG, SIGKILL))
            _exit(1);
        execl("/proc/self/exe", "shim", "-namespace", "ns", "-id", id, "-address", address, verb,
              (char *)NULL);
        _exit(1);
    }
    close(begun[1]);
    assert_int_equal(read(begun[0], &none, 1), 0);
    close(begun[0]);
    self->shims[self->count++] = pid;
    return pid;
}

static int setup(void **state)
{
    world_t *self = zmalloc(sizeof *self);
    status_t st;
    snprintf(self->dir, sizeof self->dir, "/tmp/shimd-test-XXXXXX");
    assert_non_null(mkdtemp(self->dir));
    assert_int_equal(cluster_set_run_dir(&self->cluster, self->dir, &st), STATUS_OK);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    world_t *self = *state;
    for (size_t i = 0; i < self->count; i++) {
        kill(self->shims[i], SIGKILL);
        waitpid(self->shims[i], NULL, 0);
    }
    AUTO_FREE char *command = util_format("rm -r %s", self->dir);
    int code = system(command);
    free(self);
    return code;
}

static void check_found(const world_t *self, const char *id, pid_t pid, const char *socket)
{
    AUTO_FREE char *address = util_format(UNIX_PREFIX "%s/%s", self->dir, socket);
    endpoint_t found;
    assert_true(shim_process_find(&self->cluster, "ns", id, &found));
    assert_int_equal(found.shim_pid, pid);
    assert_int_equal(found.shim_start, proc_start_time(pid));
    assert_int_equal(found.version, 3);
    assert_string_equal(found.address, address);
}

static void check_none(const world_t *self, const char *ns, const char *id)
{
    endpoint_t found = {.version = 2, .shim_pid = 77};
    assert_false(shim_process_find(&self->cluster, ns, id, &found));
    assert_int_equal(found.shim_pid, 77);
    assert_int_equal(found.version, 2);
    assert_string_equal(found.address, "");
}

static void a_shim_is_found_by_its_container(void **state)
{
    world_t *self = *state;
    pid_t shim = begin(self, "a", NULL, "one", getuid());
    begin(self, "verb", "start", "two", getuid());
    check_found(self, "a", shim, "one");
    check_none(self, "other", "a");
    check_none(self, "ns", "b");
    check_none(self, "ns", "verb");
}

/* An earlier run's may be left, and not answer. */
static void the_latest_is_meant(void **state)
{
    world_t *self = *state;
    pid_t earlier = begin(self, "a", NULL, "one", getuid()), later = 0;
    while (proc_start_time(later) <= proc_start_time(earlier)) { /* it counts in ticks */
        char socket[16];
        if (later)
            kill(later, SIGKILL);
        if (later)
            waitpid(later, NULL, 0);
        self->count = 1;
        snprintf(socket, sizeof socket, "later-%d", (int)later);
        later = begin(self, "a", NULL, socket, getuid());
    }
    endpoint_t found;
    assert_true(shim_process_find(&self->cluster, "ns", "a", &found));
    assert_int_equal(found.shim_pid, later);
}

static void nobody_else_is_taken_for_a_shim(void **state)
{
    world_t *self = *state;
    if (getuid() != 0)
        skip();
    pid_t stranger = begin(self, "a", NULL, "one", NOBODY);
    shim_words_t words;
    assert_false(shim_process_is(&self->cluster, stranger, &words));
    check_none(self, "ns", "a");
}

int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_shim_is_found_by_its_container, setup, teardown),
        cmocka_unit_test_setup_teardown(the_latest_is_meant, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_else_is_taken_for_a_shim, setup, teardown),
    };
    while (argc > 1)
        pause();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
