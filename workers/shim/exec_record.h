/* What is written into a bundle of each exec of its task, so that a successor can ask the shim
 * about it: a shim lists the execs that run and no others. */
#ifndef SHIMD_SHIM_EXEC_RECORD_H
#define SHIMD_SHIM_EXEC_RECORD_H

#include "workers/shim/task.h"

/* exec-EXEC.json: the requests that asked for it and for its start, when that was sent, its
 * deadline, and its process once it was started. */
status_code_t exec_record_write(const char *bundle, const process_t *process, status_t *st);

/* Does nothing when there is none. */
void exec_record_remove(const char *bundle, const char *exec_id);

/* Adds a process in state UNKNOWN to the task for each record in its bundle; a damaged one is
 * logged and removed. */
void exec_record_load(task_t *task);

#endif
