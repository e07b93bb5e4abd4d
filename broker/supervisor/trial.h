/* Whether what is installed could take the supervisor's place: its --check is run before anything
 * is given up, for a supervisor that cannot start takes the cluster with it. */
#ifndef SHIMD_TRIAL_H
#define SHIMD_TRIAL_H

#include "common/io_timer.h"
#include "common/status.h"

#include <sys/types.h>

#define TRIAL_MS 10000 /* until one that does not end is killed */

typedef struct trial {
    io_set_t *io;
    pid_t pid; /* 0 when there is none */
    int words; /* reading end of its standard error, -1 when there is none */
    io_timer_t late;
} trial_t;

void trial_init(trial_t *self, io_set_t *io);

/* Kills one that is under way, and does not wait for it. */
void trial_destroy(trial_t *self);

/* Starts `path` with `argv` and --check, unless it is under way. trial_reaped follows. */
status_code_t trial_start(trial_t *self, const char *path, char *const argv[], status_t *st);

/* Its process, which is `self->pid`, has been reaped: OK, or FAILED_PRECONDITION with its own
 * words.
 */
status_code_t trial_reaped(trial_t *self, int wait_status, status_t *st);

#endif
