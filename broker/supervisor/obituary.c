/* How a process ended, in a sentence for people. */
#include "broker/supervisor/obituary.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void obituary_cause(int wait_status, char *text, size_t size)
{
    if (WIFEXITED(wait_status)) {
        snprintf(text, size, "exited with %d", WEXITSTATUS(wait_status));
        return;
    }
    int number = WTERMSIG(wait_status);
    const char *name = sigabbrev_np(number);
    const char *core = WCOREDUMP(wait_status) ? " (core dumped)" : "";
    if (name)
        snprintf(text, size, "killed by SIG%s%s", name, core);
    else
        snprintf(text, size, "killed by signal %d%s", number, core);
}

static int seconds_of(int64_t ms)
{
    return (int)(ms / 1000);
}

static int rest_of(int64_t ms)
{
    return (int)(ms % 1000);
}

void obituary_write(const obituary_t *self, char text[OBITUARY_SIZE])
{
    char cause[64];
    if (self->exec_error) {
        snprintf(text, OBITUARY_SIZE, "process %d could not be executed: %s", (int)self->pid,
                 strerror(self->exec_error));
        return;
    }
    obituary_cause(self->wait_status, cause, sizeof cause);
    int used = snprintf(text, OBITUARY_SIZE, "process %d %s after %d.%03d s, ", (int)self->pid,
                        cause, seconds_of(self->uptime_ms), rest_of(self->uptime_ms));
    if (self->ready_ms < 0)
        snprintf(text + used, OBITUARY_SIZE - (size_t)used, "before it was ready");
    else
        snprintf(text + used, OBITUARY_SIZE - (size_t)used, "ready for %d.%03d s",
                 seconds_of(self->ready_ms), rest_of(self->ready_ms));
}
