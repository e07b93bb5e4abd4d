/* Work on files that may hang for ever. */
#include "common/errand.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SOCKET_FD (STDERR_FILENO + 1) /* of a child */

typedef struct errand {
    io_set_t *io;
    errand_done_t *done;
    void *arg;
    int64_t timeout_ms;
    io_timer_t deadline;
    bool is_late; /* `done` was called; only the child's end is waited for */
    int pidfd, socket;
    TAILQ_ENTRY(errand) link;
} errand_t;

static TAILQ_HEAD(, errand) under_way = TAILQ_HEAD_INITIALIZER(under_way); /* owns them */
static size_t children;

/* What the child says: its status, and the descriptor with it ------------------------------------
 */

typedef union control {
    struct cmsghdr header; /* aligns */
    char bytes[CMSG_SPACE(sizeof(int))];
} control_t;

static bool send_outcome(int socket, status_t *st, int fd)
{
    control_t control = {.bytes = {0}};
    struct iovec data = {.iov_base = st, .iov_len = sizeof *st};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof *st;
}

/* The descriptor, or -1. */
static int read_outcome(int socket, status_t *st)
{
    control_t control;
    struct iovec data = {.iov_base = st, .iov_len = sizeof *st};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int fd = -1;
    if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof *st) {
        status_set(st, STATUS_INTERNAL, "who was to look at it ended without a word");
        return -1;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static _Noreturn void run_child(errand_work_t *work, const void *arg, int socket, pid_t parent)
{
    status_t st = {.code = STATUS_OK};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(socket, SOCKET_FD) < 0)
        _exit(EXIT_FAILURE);
    /* A child that hangs must not hide our death from whoever is at the other end of a socket. */
    close_range(SOCKET_FD + 1, ~0U, 0);
    int fd = work(arg, &st);
    _exit(send_outcome(SOCKET_FD, &st, fd) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ------------------------------------------------------------------------------------------------
 */

static void errand_free(errand_t *self)
{
    io_timer_stop(self->io, &self->deadline);
    io_set_remove(self->io, self->pidfd);
    util_close(&self->pidfd);
    util_close(&self->socket);
    free(self);
}

static void on_end(void *arg, int fd, uint32_t events)
{
    errand_t *self = arg;
    siginfo_t ended = {0};
    status_t st;
    (void)events;
    if (waitid(P_PIDFD, (id_t)fd, &ended, WEXITED | WNOHANG) == 0 && ended.si_pid == 0)
        return;
    TAILQ_REMOVE(&under_way, self, link);
    children--;
    if (self->is_late) {
        log_info("a file system that hung has let process %d go", (int)ended.si_pid);
    } else {
        int handed = read_outcome(self->socket, &st);
        self->done(self->arg, &st, handed);
    }
    errand_free(self);
}

static void on_deadline(void *arg)
{
    errand_t *self = arg;
    status_t st;
    self->is_late = true;
    pidfd_send_signal(self->pidfd, SIGKILL, NULL, 0);
    status_set(&st, STATUS_DEADLINE_EXCEEDED, "no answer in %lld ms: its file system hangs",
               (long long)self->timeout_ms);
    self->done(self->arg, &st, -1);
}

static status_code_t start_child(errand_t *self, errand_work_t *work, status_t *st)
{
    int ends[2];
    if (children >= ERRANDS_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "%d processes wait already for file systems that do not answer",
                          ERRANDS_MAX);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return status_errno(st, errno, "make a socket");
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        run_child(work, self->arg, ends[1], parent);
    int why = errno;
    close(ends[1]);
    self->socket = ends[0];
    if (pid < 0)
        return status_errno(st, why, "fork");
    self->pidfd = pidfd_open(pid, 0);
    if (self->pidfd >= 0 && !io_set_add(self->io, self->pidfd, EPOLLIN, on_end, self))
        return STATUS_OK;
    status_errno(st, errno, "watch process %d", (int)pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, WNOHANG); /* it may hang */
    return st->code;
}

void errand_begin(io_set_t *io, int64_t timeout_ms, errand_work_t *work, errand_done_t *done,
                  void *arg)
{
    status_t st;
    errand_t *self = zmalloc(sizeof *self);
    *self = (errand_t){
        .io = io, .done = done, .arg = arg, .timeout_ms = timeout_ms, .pidfd = -1, .socket = -1};
    io_timer_init(&self->deadline, on_deadline, self);
    if (start_child(self, work, &st)) {
        errand_free(self);
        done(arg, &st, -1);
        return;
    }
    children++;
    TAILQ_INSERT_TAIL(&under_way, self, link);
    io_timer_in(io, &self->deadline, timeout_ms);
}
