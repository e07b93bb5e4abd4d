/* Whether what is installed could take the supervisor's place. */
#include "broker/supervisor/trial.h"

#include "broker/supervisor/check.h"
#include "broker/supervisor/obituary.h"
#include "common/util.h"

#include <signal.h>
#include <string.h>

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

status_code_t trial_start(trial_t *self, const char *path, char *const argv[], status_t *st)
{
    size_t count = 0;
    if (self->pid)
        return STATUS_OK;
    while (argv[count])
        count++;
    AUTO_FREE char **longer = zmalloc((count + 2) * sizeof *longer);
    memcpy(longer, argv, count * sizeof *longer);
    longer[count] = (char[]){"--check"};
    if (check_spawn(&self->pid, &self->words, path, longer, st))
        return st->code;
    io_timer_in(self->io, &self->late, TRIAL_MS);
    return STATUS_OK;
}

status_code_t trial_reaped(trial_t *self, int wait_status, status_t *st)
{
    char words[CHECK_WORDS_SIZE], cause[64];
    check_words(self->words, words);
    obituary_cause(wait_status, cause, sizeof cause);
    close_all(self);
    if (wait_status == 0)
        return STATUS_OK;
    return status_set(st, STATUS_FAILED_PRECONDITION, "the successor's --check %s%s%s", cause,
                      *words ? ": " : "", words);
}
