/* Starts one process of the cluster. Everything that allocates is done before the fork: ZeroMQ's
 * threads do not exist in the child, and one of them may have held malloc's lock. */
#include "broker/supervisor/spawn.h"

#include "common/process.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define LISTEN_FD_FIRST 3 /* SD_LISTEN_FDS_START */
#define PASSED_MAX      (CLUSTER_SOCKETS + 3)
#define EXIT_NO_EXEC    127

extern char **environ;

/* What the child is given, complete before the fork. */
typedef struct image {
    const char *path;
    char *argv[10];
    char **envp; /* environ's entries, then our own */
    char **own;  /* the latter, inside `envp`; allocated */
    size_t own_count;
    char *listen_pid; /* the one whose number only the child knows, with room for it; or NULL */
    int passed[PASSED_MAX]; /* become descriptors 3, 4, 5, ... in this order */
    size_t passed_count;
    int ready_fd; /* what SHIMD_READY_FD is in the child */
    pid_t parent;
} image_t;

/* The service manager's own words to the supervisor, which none of its descendants may repeat: runc
 * answers a NOTIFY_SOCKET, for one. And what is set anew below. */
static bool is_withheld(const char *entry)
{
    static const char *const names[] = {
        "LISTEN_PID=",    "LISTEN_FDS=", "LISTEN_FDNAMES=", "NOTIFY_SOCKET=", "WATCHDOG_PID=",
        "WATCHDOG_USEC=", "MAINPID=",    "SHIMD_READY_FD=", "SHIMD_LOCK_FD=", "SHIMD_KEEP_FD="};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strncmp(entry, names[i], strlen(names[i])))
            return true;
    return false;
}

static char *socket_names(const spawn_plan_t *plan)
{
    char *names = util_strdup("LISTEN_FDNAMES=");
    for (size_t i = 0; i < plan->socket_count; i++) {
        char *longer =
            util_format("%s%s%s", names, i ? ":" : "", cluster_socket_name(plan->sockets[i]));
        free(names);
        names = longer;
    }
    return names;
}

#define OWN_VARIABLES 6 /* at most, behind those that are taken over */

static void add_own(image_t *self, char *entry)
{
    self->own[self->own_count++] = entry;
}

static void make_environment(image_t *self, const spawn_plan_t *plan)
{
    size_t count = 0;
    while (environ[count])
        count++;
    self->envp = calloc(count + OWN_VARIABLES + 1, sizeof *self->envp);
    if (!self->envp)
        abort();
    size_t used = 0;
    for (char **entry = environ; *entry; entry++)
        if (!is_withheld(*entry))
            self->envp[used++] = *entry;
    self->own = self->envp + used;
    add_own(self, util_format("SHIMD_READY_FD=%d", self->ready_fd));
    add_own(self, util_format("SHIMD_LOCK_FD=%d", self->ready_fd + 1));
    add_own(self, util_format("SHIMD_KEEP_FD=%d", self->ready_fd + 2));
    /* Not for those without sockets: the shim worker's descendants look at LISTEN_FDS too. */
    if (plan->socket_count) {
        add_own(self, util_format("LISTEN_FDS=%zu", plan->socket_count));
        add_own(self, socket_names(plan));
        add_own(self, util_strdup("LISTEN_PID=0123456789"));
        self->listen_pid = self->own[self->own_count - 1];
    }
}

static void free_environment(image_t *self)
{
    for (size_t i = 0; i < self->own_count; i++)
        free(self->own[i]);
    free(self->envp);
}

static void make_image(image_t *self, const spawn_plan_t *plan, int ready_end)
{
    const cluster_t *cluster = plan->cluster;
    *self = (image_t){.path = plan->path, .parent = getpid()};
    const char *const argv[] = {
        plan->path,      "--run-dir",       cluster->run_dir,
        "--root-dir",    cluster->root_dir, "--config",
        cluster->config, "--log-level",     log_level_name(cluster->log_level)};
    _Static_assert(sizeof argv < sizeof self->argv, "argv needs its NULL");
    memcpy(self->argv, argv, sizeof argv);
    for (size_t i = 0; i < plan->socket_count; i++)
        self->passed[self->passed_count++] = plan->socket_fds[i];
    self->ready_fd = LISTEN_FD_FIRST + (int)self->passed_count;
    self->passed[self->passed_count++] = ready_end;
    self->passed[self->passed_count++] = plan->lock_fd;
    self->passed[self->passed_count++] = plan->keep_fd;
    make_environment(self, plan);
}

/* From here on in the child: only what signal-safety(7) allows ------------------------------------
 */

static void write_own_pid(char *text)
{
    char digits[16];
    size_t count = 0;
    for (pid_t rest = getpid(); rest; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    memcpy(text, "LISTEN_PID=", sizeof "LISTEN_PID=");
    text += strlen(text);
    while (count)
        *text++ = digits[--count];
    *text = '\0';
}

static int renumber(image_t *self)
{
    int above = LISTEN_FD_FIRST + PASSED_MAX;
    /* First out of the way: a descriptor's new number may be another one's old. */
    for (size_t i = 0; i < self->passed_count; i++)
        if ((self->passed[i] = fcntl(self->passed[i], F_DUPFD_CLOEXEC, above)) < 0)
            return -1;
    for (size_t i = 0; i < self->passed_count; i++)
        if (dup2(self->passed[i], LISTEN_FD_FIRST + (int)i) < 0)
            return -1;
    /* Whatever the supervisor itself was given by its own parent. */
    close_range((unsigned)LISTEN_FD_FIRST + (unsigned)self->passed_count, ~0u, CLOSE_RANGE_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return null < 0 || dup2(null, STDIN_FILENO) < 0 ? -1 : 0;
}

static _Noreturn void become(image_t *self)
{
    process_reset_signals();
    process_restore_limits();
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have died before the line above. */
    if (getppid() != self->parent)
        _exit(EXIT_NO_EXEC);
    if (self->listen_pid)
        write_own_pid(self->listen_pid);
    int ready_fd = self->passed[self->passed_count - 3];
    if (!renumber(self)) {
        ready_fd = self->ready_fd;
        execve(self->path, self->argv, self->envp);
    }
    int error = errno;
    char report[1 + sizeof error] = {SPAWN_EXEC_FAILED};
    memcpy(report + 1, &error, sizeof error);
    ssize_t written = write(ready_fd, report, sizeof report);
    (void)written; /* exit code and log will have to do */
    _exit(EXIT_NO_EXEC);
}

pid_t spawn_process(const spawn_plan_t *plan, int *ret_ready, status_t *st)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        status_errno(st, errno, "make a pipe");
        return -1;
    }
    image_t image;
    make_image(&image, plan, ends[1]);
    pid_t pid = fork();
    if (pid == 0)
        become(&image);
    int error = errno;
    free_environment(&image);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        status_errno(st, error, "fork");
        return -1;
    }
    *ret_ready = ends[0];
    return pid;
}
