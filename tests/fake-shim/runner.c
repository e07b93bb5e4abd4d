/* Makes the process of a container. */
#include "tests/fake-shim/runner.h"

#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>

#define GATE_FD   3
#define STUB_NAME "fake-init"

/* Between fork and exec: nothing but what signal handlers may do, for other threads were lost. */
static _Noreturn void become_stub(const streams_t *streams, int gate, char **argv, char **envp,
                                  bool is_terminal)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    for (int i = 0; i < 3; i++)
        dup2(streams->child[i], i);
    if (is_terminal)
        ioctl(0, TIOCSCTTY, 0);
    if (gate == GATE_FD)
        fcntl(gate, F_SETFD, 0);
    else
        dup2(gate, GATE_FD);
    execve("/proc/self/exe", argv, envp);
    _exit(126);
}

status_code_t runner_spawn(const program_t *program, const streams_t *streams, bool is_terminal,
                           pid_t *pid, int *gate, status_t *st)
{
    int gate_fds[2], ready_fds[2];
    char nothing;
    size_t count = 0;
    while (program->argv[count])
        count++;
    AUTO_FREE char **argv = zmalloc((count + 4) * sizeof *argv);
    argv[0] = (char *)STUB_NAME;
    argv[1] = (char *)"init";
    argv[2] = program->cwd;
    memcpy(&argv[3], program->argv, count * sizeof *argv);
    if (pipe2(gate_fds, O_CLOEXEC) || pipe2(ready_fds, O_CLOEXEC))
        return status_set(st, STATUS_UNKNOWN, "make a gate: %s: unknown", strerror(errno));
    *pid = fork();
    if (*pid == 0)
        become_stub(streams, gate_fds[0], argv, program->envp, is_terminal);
    close(gate_fds[0]);
    close(ready_fds[1]);
    /* Ends with the stub's execve: then it leads the process group that signals are sent to. */
    while (read(ready_fds[0], &nothing, 1) < 0 && errno == EINTR)
        continue;
    close(ready_fds[0]);
    *gate = gate_fds[1];
    if (*pid > 0)
        return STATUS_OK;
    *pid = 0;
    return status_set(st, STATUS_UNKNOWN, "fork: %s: unknown", strerror(errno));
}

bool runner_is_stub(int argc, char **argv)
{
    return argc > 3 && strcmp(argv[0], STUB_NAME) == 0;
}

void runner_stub(char **argv)
{
    char byte;
    ssize_t count;
    while ((count = read(GATE_FD, &byte, 1)) < 0 && errno == EINTR)
        continue;
    /* The shim is gone and will never start us. As runc's init, we stay until we are killed. */
    while (count <= 0)
        pause();
    close(GATE_FD);
    if (chdir(argv[2])) {
        perror(argv[2]);
        _exit(1);
    }
    execvp(argv[3], &argv[3]);
    perror(argv[3]);
    _exit(127);
}
