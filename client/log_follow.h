/* Waits for more of a log, until its process has ended and everything is read. */
#ifndef SHIMD_LOG_FOLLOW_H
#define SHIMD_LOG_FOLLOW_H

#include "client/log_reader.h"
#include "client/session.h"

/* Reads what is there, and returns whether more is wanted. */
typedef bool log_follow_read_t(void *arg);

/* Calls `read` now and whenever there may be more. Ends when it does not want more, or when the
 * process that `ask` names has ended, or is not known, and its writer is gone or has written
 * nothing for LOG_FOLLOW_QUIET_MS: a shim keeps the pipe open until the task is deleted. Deaths of
 * the cluster's processes are waited out. */
#define LOG_FOLLOW_QUIET_MS 1000
status_code_t log_follow(session_t *session, log_reader_t *reader, const msg_task_wait_t *ask,
                         log_follow_read_t *read, void *arg, status_t *st);

#endif
