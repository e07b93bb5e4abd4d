/* Candidates for the shell's completion. */
#ifndef SHIMD_COMPLETE_H
#define SHIMD_COMPLETE_H

#include "client/session.h"

/* Prints what may stand for the last of `words` (the command line behind "shimctl"), one candidate
 * a line; ":file" or ":directory" leaves it to the shell. Names of containers, tasks and namespaces
 * are asked of the cluster, briefly and silently. */
void complete_print(session_t *session, char *const *words, size_t count);

#endif
