/* Signals to all that is in a container's cgroup. */
#include "workers/shim/cgroup.h"

#include "common/cgroup_tree.h"
#include "common/proc.h"
#include "common/util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { INIT, ONE, OTHER, CHILDREN };

typedef struct fixture {
    char *dir, *away; /* the cgroup, and one beside it */
    pid_t children[CHILDREN];
} fixture_t;

static fixture_t *leaver; /* its ONE leaves the cgroup when a descriptor of it is asked for */

static void move(const char *dir, pid_t pid)
{
    AUTO_FREE char *path = util_format("%s/cgroup.procs", dir);
    AUTO_FREE char *text = util_format("%d", (int)pid);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Linked in place of proc_open: what is found to be elsewhere when its descriptor is there is just
 * what a process is that has come to a pid meanwhile. */
int __real_proc_open(pid_t pid, uint64_t start_time);
int __wrap_proc_open(pid_t pid, uint64_t start_time);

int __wrap_proc_open(pid_t pid, uint64_t start_time)
{
    if (leaver && pid == leaver->children[ONE])
        move(leaver->away, pid);
    return __real_proc_open(pid, start_time);
}

static char *place(void *arg, const char *mount_point, bool is_v1)
{
    fixture_t *self = arg;
    char *dir = util_format("%s/shimd-test-%d", mount_point, (int)getpid());
    (void)is_v1;
    if (mkdir(dir, 0700)) {
        free(dir);
        return NULL;
    }
    self->away = util_format("%s-away", dir);
    assert_int_equal(mkdir(self->away, 0700), 0);
    return dir;
}

static int set_up(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    *state = self;
    self->dir = cgroup_find("freezer", place, self);
    for (int i = 0; i < CHILDREN && self->dir; i++) {
        self->children[i] = fork();
        if (self->children[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                pause();
        }
        move(self->dir, self->children[i]);
    }
    return 0;
}

/* The signal that ended it. */
static int end_of(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return info.si_status;
}

/* SIGKILL would have ended it, if it had come before. */
static void assert_unhit(pid_t pid)
{
    kill(pid, SIGUSR1);
    assert_int_equal(end_of(pid), SIGUSR1);
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    leaver = NULL;
    for (int i = 0; i < CHILDREN && self->dir; i++) {
        kill(self->children[i], SIGKILL);
        waitpid(self->children[i], NULL, 0);
    }
    int failed = self->dir && (rmdir(self->dir) || rmdir(self->away));
    free(self->dir);
    free(self->away);
    free(self);
    return failed;
}

static void all_others_are_hit(void **state)
{
    const fixture_t *self = *state;
    pid_t init = self->children[INIT];
    if (!self->dir)
        skip(); /* it takes root, and cgroups */
    cgroup_signal_others(init, proc_start_time(init), SIGKILL);
    assert_int_equal(end_of(self->children[ONE]), SIGKILL);
    assert_int_equal(end_of(self->children[OTHER]), SIGKILL);
    assert_unhit(init);
}

static void whoever_came_to_a_pid_is_not_hit(void **state)
{
    fixture_t *self = *state;
    pid_t init = self->children[INIT];
    if (!self->dir)
        skip();
    leaver = self;
    cgroup_signal_others(init, proc_start_time(init), SIGKILL);
    assert_int_equal(end_of(self->children[OTHER]), SIGKILL);
    assert_unhit(self->children[ONE]);
}

static void nobody_is_hit_where_another_has_the_pid(void **state)
{
    const fixture_t *self = *state;
    pid_t init = self->children[INIT];
    if (!self->dir)
        skip();
    cgroup_signal_others(init, proc_start_time(init) + 1, SIGKILL);
    assert_unhit(self->children[ONE]);
    assert_unhit(self->children[OTHER]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_others_are_hit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whoever_came_to_a_pid_is_not_hit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_hit_where_another_has_the_pid, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
