/* Options about input and output that run, tasks start and tasks exec share. */
#ifndef SHIMD_LAUNCH_WORDS_H
#define SHIMD_LAUNCH_WORDS_H

#include "client/launch.h"

/* Reads --detach, --null-io, --log-uri, --log-opt and --fifo-dir. Returns 0, or the exit status
 * after having said what is wrong with them. Asks the cluster nothing. */
int launch_words_read(session_t *session, launch_options_t *ret);

/* The last thing before the launch: has a detached process without other words about its output
 * written to a log, and asks the cluster where. */
status_code_t launch_words_find_logs(session_t *session, launch_options_t *ret, status_t *st);

#endif
