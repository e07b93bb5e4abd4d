/* Options about input and output that run, tasks start and tasks exec share. */
#ifndef SHIMD_LAUNCH_WORDS_H
#define SHIMD_LAUNCH_WORDS_H

#include "client/launch.h"

/* Reads --detach, --null-io, --log-uri and --fifo-dir. Returns 0, or the exit status after having
 * said which of them do not go together. */
int launch_words_read(session_t *session, launch_options_t *ret);

#endif
