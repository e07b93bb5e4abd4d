/* Executables that are run with --check. */
#include "broker/supervisor/check.h"

#include "broker/supervisor/obituary.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

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

status_code_t check_spawn(pid_t *pid, int *words, const char *path, char *const argv[],
                          status_t *st)
{
    int ends[2];
    *pid = 0;
    *words = -1;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return status_errno(st, errno, "make a pipe");
    int error = spawn(pid, path, argv, ends[1]);
    close(ends[1]);
    if (!error) {
        *words = ends[0];
        return STATUS_OK;
    }
    close(ends[0]);
    *pid = 0;
    return status_errno(st, error, "execute %s", path);
}

void check_words(int words, char ret[CHECK_WORDS_SIZE])
{
    ssize_t size = read(words, ret, CHECK_WORDS_SIZE - 1);
    ret[size > 0 ? size : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

/* It has closed its standard error when it has ended. What it says fits in the pipe. */
static void await_end(pid_t pid, int words)
{
    int64_t end = util_monotonic_us() + (int64_t)CHECK_MS * 1000, left;
    struct pollfd end_of_words = {.fd = words}; /* POLLHUP needs no asking for */
    while (!(end_of_words.revents & POLLHUP) && (left = end - util_monotonic_us()) > 0)
        poll(&end_of_words, 1, (int)(left / 1000) + 1);
    if (!(end_of_words.revents & POLLHUP))
        kill(pid, SIGKILL); /* not reaped yet, so the pid is still its own */
}

static status_code_t check_section(const char *path, const cluster_t *cluster, status_t *st)
{
    char check[] = "--check", config[] = "--config", words[CHECK_WORDS_SIZE], cause[64];
    char *argv[] = {(char *)(uintptr_t)path, check, config, (char *)(uintptr_t)cluster->config,
                    NULL};
    AUTO_CLOSE int from = -1;
    pid_t pid;
    int wait_status;
    if (check_spawn(&pid, &from, path, argv, st))
        return st->code;
    await_end(pid, from);
    while (waitpid(pid, &wait_status, 0) < 0)
        if (errno != EINTR)
            return status_errno(st, errno, "wait for %s", path);
    check_words(from, words);
    if (wait_status == 0)
        return STATUS_OK;
    obituary_cause(wait_status, cause, sizeof cause);
    return *words ? status_set(st, STATUS_INVALID_ARGUMENT, "%s", words)
                  : status_set(st, STATUS_INVALID_ARGUMENT, "%s --check %s", path, cause);
}

status_code_t check_sections(const settings_t *settings, const char *libexec,
                             const cluster_t *cluster, status_t *st)
{
    /* A parent that ignores it hands that on, and then there is no status to be had. */
    signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < settings->reader_count; i++) {
        AUTO_FREE char *path = util_format("%s/%s", libexec, settings->readers[i]);
        if (check_section(path, cluster, st))
            return st->code;
    }
    return STATUS_OK;
}
