/* The supervisor: starts, watches and restarts the broker and the workers, reaps whatever is
 * orphaned below it, and answers cluster.status and cluster.restart. */
#ifndef SHIMD_SUPERVISOR_H
#define SHIMD_SUPERVISOR_H

#include "broker/supervisor/listener.h"
#include "broker/supervisor/settings.h"

typedef struct supervisor supervisor_t;

/* Blocks the signals it reads and becomes child subreaper. Before the first ZeroMQ socket, so that
 * its threads inherit the mask. Returns the signalfd, or -1 with a status. */
int supervisor_take_signals(status_t *st);

/* What it is started with, which outlives it. */
typedef struct supervisor_plan {
    const cluster_t *cluster;
    const settings_t *settings;
    const listeners_t *listeners;
    int lock_fd, signals; /* the lock of the run directory, and the signalfd */
    const char *libexec;  /* where the four executables are */
    const char *path;     /* of the own executable, and how it was called */
    char **argv;
} supervisor_plan_t;

/* `inherited` is what supervisor_hand_over gave, NULL for none. NULL with a status. */
supervisor_t *supervisor_new(const supervisor_plan_t *plan, const json_t *inherited, status_t *st);

/* Kills what still runs of the four. */
void supervisor_destroy(supervisor_t **self);

/* Runs until SIGTERM or SIGINT, then stops the four in order: shim, bundle, metadata, broker; or
 * until its own executable shall be executed again: true, and then supervisor_hand_over is next. */
bool supervisor_run(supervisor_t *self);

/* Ends it and leaves the four alone. Returns what the next one goes on with, the caller's. Blocks
 * for the last answers, a second at most. */
json_t *supervisor_hand_over(supervisor_t **self);

/* Whether `libexec` has all four executables; the status names the first that is missing. */
status_code_t supervisor_check_libexec(const char *libexec, status_t *st);

#endif
