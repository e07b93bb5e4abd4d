/* What the main function of broker and workers has in common: options, log, signals. */
#ifndef SHIMD_PROCESS_H
#define SHIMD_PROCESS_H

#include "common/cluster.h"

/* Parses the command line that every process under the supervisor takes (--run-dir, --root-dir,
 * --config, --log-level, --check, --help, --version), opens the log as `name` ("shimd-broker"),
 * ignores SIGPIPE, blocks SIGTERM and SIGINT and returns the signalfd that reads them
 * (non-blocking). Raises the soft limit of open files to the hard one. Must run before the first
 * ZeroMQ socket, so that its threads inherit the mask. Exits with a sentence when anything fails:
 * nobody depends on the process yet. A child that is spawned later must be given an empty signal
 * mask. `name` must be static. */
int process_init(const char *name, int argc, char **argv, cluster_t *cluster);

/* For a process with settings, before process_init: with --check among its arguments it reads its
 * part of the configuration, says what is wrong on standard error, and ends, 0 or 2. Of one without
 * settings process_init does that. */
typedef status_code_t process_read_t(void *settings, const char *config, status_t *st);
void process_check(const char *name, int argc, char **argv, process_read_t *read, void *settings);

/* Raises the soft limit of open files to the hard one. */
void process_raise_limits(void);

/* For a child between fork and exec: the limit of open files is again what it was before
 * process_raise_limits. A high one makes some programs slow, and is not ours to hand on. */
void process_restore_limits(void);

/* Likewise: every signal is taken as it is by default, and none is blocked. Only makes calls that
 * signal-safety(7) allows. */
void process_reset_signals(void);

#endif
