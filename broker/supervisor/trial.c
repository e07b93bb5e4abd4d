/* Whether what is installed could take the supervisor's place. */
#include "broker/supervisor/trial.h"

#include "broker/supervisor/obituary.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

static void on_late(void *arg)
{
    const trial_t *self = arg;
    kill(self->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
}

void trial_init(trial_t *self, io_set_t *io)
{
    *self = (trial_t){.io = io, .words = -1};
    io_timer_init(&self->late, on_late, self);
}

static void close_all(trial_t *self)
{
    io_timer_stop(self->io, &self->late);
    util_close(&self->words);
    self->pid = 0;
}

void trial_destroy(trial_t *self)
{
    if (self->pid)
        kill(self->pid, SIGKILL);
    close_all(self);
}

/* Signals are blocked here and must not be there. */
static int spawn(pid_t *pid, const char *path, char *const argv[], int words)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, pipe;
    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, words, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &pipe);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int error = posix_spawn(pid, path, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

status_code_t trial_start(trial_t *self, const char *path, char *const argv[], status_t *st)
{
    int ends[2];
    size_t count = 0;
    if (self->pid)
        return STATUS_OK;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return status_errno(st, errno, "make a pipe");
    while (argv[count])
        count++;
    AUTO_FREE char **longer = zmalloc((count + 2) * sizeof *longer);
    memcpy(longer, argv, count * sizeof *longer);
    longer[count] = (char[]){"--check"};
    int error = spawn(&self->pid, path, longer, ends[1]);
    close(ends[1]);
    self->words = ends[0];
    if (error) {
        close_all(self);
        return status_errno(st, error, "execute %s", path);
    }
    io_timer_in(self->io, &self->late, TRIAL_MS);
    return STATUS_OK;
}

status_code_t trial_reaped(trial_t *self, int wait_status, status_t *st)
{
    char words[256] = "", cause[64];
    ssize_t size = read(self->words, words, sizeof words - 1);
    words[size > 0 ? size : 0] = '\0';
    words[strcspn(words, "\n")] = '\0';
    obituary_cause(wait_status, cause, sizeof cause);
    close_all(self);
    if (wait_status == 0)
        return STATUS_OK;
    return status_set(st, STATUS_FAILED_PRECONDITION, "the successor's --check %s%s%s", cause,
                      *words ? ": " : "", words);
}
