/* Runs a shim's executable for one of its verbs. */
#include "workers/shim/spawn.h"

#include "common/io_timer.h"
#include "common/local_path.h"
#include "common/process.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define READ_CHUNK 4096

typedef struct capture {
    int fd; /* -1 once it has ended */
    uint8_t *data;
    size_t size, limit;
    bool cut;
} capture_t;

struct spawn {
    io_set_t *io;
    pid_t pid;
    int pidfd; /* -1 once it has been waited for */
    io_timer_t deadline;
    int wait_status;
    bool timed_out;
    capture_t out, err;
    spawn_done_t *done;
    void *arg;
};

static void end_capture(spawn_t *self, capture_t *capture)
{
    io_set_remove(self->io, capture->fd);
    util_close(&capture->fd);
}

static void spawn_free(spawn_t *self)
{
    io_timer_stop(self->io, &self->deadline);
    end_capture(self, &self->out);
    end_capture(self, &self->err);
    free(self->out.data);
    free(self->err.data);
    free(self);
}

static void keep(capture_t *capture, const uint8_t *chunk, size_t size)
{
    size_t room = capture->limit - capture->size;
    if (size > room) {
        capture->cut = true;
        size = room;
    }
    if (!capture->data)
        capture->data = zmalloc(capture->limit + 1);
    memcpy(capture->data + capture->size, chunk, size);
    capture->size += size;
}

/* True while there may be more to come. */
static bool read_some(capture_t *capture)
{
    uint8_t chunk[READ_CHUNK];
    if (capture->fd < 0)
        return false;
    for (;;) {
        ssize_t size = read(capture->fd, chunk, sizeof chunk);
        if (size > 0)
            keep(capture, chunk, (size_t)size);
        else if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        else
            return false;
    }
}

/* One line without the newline at its end: it becomes part of a sentence. */
static const char *line_of(capture_t *capture)
{
    if (!capture->data)
        return "";
    while (capture->size &&
           (capture->data[capture->size - 1] == '\n' || capture->data[capture->size - 1] == ' '))
        capture->size--;
    for (size_t i = 0; i < capture->size; i++)
        if (capture->data[i] < 0x20 || capture->data[i] >= 0x7f)
            capture->data[i] = ' ';
    capture->data[capture->size] = '\0';
    return (const char *)capture->data;
}

/* The process itself has ended. A daemon it started may hold its output open, so end of file is not
 * waited for: what it wrote before it ended is in the pipes. */
static void finish(spawn_t *self)
{
    read_some(&self->out);
    read_some(&self->err);
    spawn_result_t result = {.exit_code =
                                 WIFEXITED(self->wait_status) ? WEXITSTATUS(self->wait_status) : -1,
                             .timed_out = self->timed_out,
                             .stdout_data = self->out.data,
                             .stdout_size = self->out.size,
                             .stdout_too_long = self->out.cut,
                             .stderr_text = line_of(&self->err)};
    self->done(self->arg, &result);
    spawn_free(self);
}

static void on_exit_(void *arg, int fd, uint32_t events)
{
    spawn_t *self = arg;
    (void)events;
    if (waitpid(self->pid, &self->wait_status, WNOHANG) == 0)
        return;
    io_set_remove(self->io, fd);
    util_close(&self->pidfd);
    finish(self);
}

static void on_output(void *arg, int fd, uint32_t events)
{
    spawn_t *self = arg;
    capture_t *capture = fd == self->out.fd ? &self->out : &self->err;
    (void)events;
    if (!read_some(capture))
        end_capture(self, capture);
}

static void on_deadline(void *arg)
{
    spawn_t *self = arg;
    self->timed_out = true;
    kill(-self->pid, SIGKILL);
    kill(self->pid, SIGKILL); /* it may not have reached its own group yet */
}

/* A memory file is read to its end like a pipe, and needs nobody to feed it. */
static int open_input(const spawn_command_t *command)
{
    if (command->stdin_size == 0)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (write(fd, command->stdin_data, command->stdin_size) != (ssize_t)command->stdin_size ||
        lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Between vfork and exec: in the memory of the parent, which stands still meanwhile, so only what
 * leaves nothing behind there. A child whose executable hangs must not hide our death from whoever
 * is at the other end of a socket. */
static _Noreturn void run_child(const spawn_command_t *command, pid_t parent, int in, int out,
                                int err)
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    process_restore_limits();
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir(command->cwd) == 0)
        execve(command->path, command->argv, command->envp);
    const char *text = strerror(errno);
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
    _exit(127);
}

/* Not fork, where the executable cannot hang: copying our memory and taking it apart again would
 * cost more than all else of it. In a frame of its own, which nothing else of the caller shares
 * with the child. */
static __attribute__((noinline)) pid_t launch(const spawn_command_t *command, int in, int out,
                                              int err)
{
    pid_t parent = getpid();
    AUTO_CLOSE int near = local_path_open(command->path);
    pid_t pid = near < 0 ? fork() : vfork();
    if (pid == 0)
        run_child(command, parent, in, out, err);
    return pid;
}

static status_code_t start_child(spawn_t *self, const spawn_command_t *command, status_t *st)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    AUTO_CLOSE int in = open_input(command);
    if (in < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        status_errno(st, errno, "run %s", command->path);
        util_close(&out[0]);
        util_close(&out[1]);
        return st->code;
    }
    self->pid = launch(command, in, out[1], err[1]);
    int error = errno;
    close(out[1]);
    close(err[1]);
    self->out.fd = out[0];
    self->err.fd = err[0];
    if (self->pid < 0)
        return status_errno(st, error, "run %s", command->path);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    return STATUS_OK;
}

spawn_t *spawn_start(io_set_t *io, const spawn_command_t *command, spawn_done_t *done, void *arg,
                     status_t *st)
{
    spawn_t *self = zmalloc(sizeof *self);
    *self = (spawn_t){.io = io,
                      .pidfd = -1,
                      .out = {.fd = -1, .limit = SPAWN_STDOUT_MAX},
                      .err = {.fd = -1, .limit = SPAWN_STDERR_MAX},
                      .done = done,
                      .arg = arg};
    if (start_child(self, command, st)) {
        util_close(&self->out.fd);
        util_close(&self->err.fd);
        free(self);
        return NULL;
    }
    self->pidfd = pidfd_open(self->pid, 0);
    if (self->pidfd < 0) { /* out of descriptors: without it the end would not be seen */
        status_errno(st, errno, "watch %s", command->path);
        kill(self->pid, SIGKILL);
        waitpid(self->pid, NULL, 0);
        util_close(&self->out.fd);
        util_close(&self->err.fd);
        free(self);
        return NULL;
    }
    io_set_add(io, self->pidfd, EPOLLIN, on_exit_, self);
    io_set_add(io, self->out.fd, EPOLLIN, on_output, self);
    io_set_add(io, self->err.fd, EPOLLIN, on_output, self);
    io_timer_init(&self->deadline, on_deadline, self);
    io_timer_in(io, &self->deadline, command->timeout_ms);
    return self;
}
