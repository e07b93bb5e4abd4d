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

/* `libexec` is where the four executables are. The listeners, the lock of the run directory and the
 * signalfd stay the caller's and outlive it, as do `cluster`, `settings` and `libexec`. NULL with a
 * status. */
supervisor_t *supervisor_new(const cluster_t *cluster, const settings_t *settings,
                             const listeners_t *listeners, int lock_fd, int signals,
                             const char *libexec, status_t *st);

/* Kills what still runs of the four. */
void supervisor_destroy(supervisor_t **self);

/* Runs until SIGTERM or SIGINT, then stops the four in order: shim, bundle, metadata, broker. */
void supervisor_run(supervisor_t *self);

/* Whether `libexec` has all four executables; the status names the first that is missing. */
status_code_t supervisor_check_libexec(const char *libexec, status_t *st);

#endif
