/* Tasks whose shim has died under them. Their processes live on as children of the supervisor,
 * which inherits them; they can be signalled, waited for and deleted. */
#ifndef SHIMD_SHIM_ORPHAN_H
#define SHIMD_SHIM_ORPHAN_H

#include "workers/shim/manager.h"

/* Whether such a task is kept: it was started, and neither its container nor the configuration
 * wants it killed. Otherwise it is to be buried. */
bool orphan_is_kept(const task_t *task);

/* From here on the task is an orphan. The ends of its processes are recorded as the supervisor sees
 * them, or as unknown when nobody can know. */
void orphan_begin(manager_t *self, task_t *task);

/* The same for a task that a predecessor had, from what stands in its bundle; false when that tells
 * of no process. */
bool orphan_load(manager_t *self, task_t *task);

/* Looks whether init of an orphan has come to run: its Start may have been lost with the shim, or
 * be carried out by the runtime still. */
void orphan_look_at_start(task_t *task);

/* Records an end as wait(2) gives it; ns since the epoch. */
void orphan_record_end(manager_t *self, process_t *process, int wait_status, int64_t at);

/* Sends a signal to a process of an orphan, or to `all` of its container as well. NOT_FOUND when it
 * has ended. One that is paused is thawed for SIGKILL. */
status_code_t orphan_signal(const process_t *process, int number, bool all, status_t *st);

/* Handlers' work for an orphan. */
void orphan_kill(manager_t *self, request_t *request, process_t *process,
                 const msg_task_kill_t *ask);
void orphan_pids(request_t *request, const task_t *task);
void orphan_delete(manager_t *self, request_t *request, task_t *task, bool force);

/* A process that is nobody's child here may have ended by now. */
#define ORPHAN_ZOMBIE_MS 100 /* between looks at one whose parent has not reaped it */
void orphan_look_again(process_t *process);

/* Kills what is left of its processes, and everything else in the container's cgroup. */
void orphan_kill_all(const task_t *task);

/* Init has ended, and that is recorded. */
void orphan_ended(manager_t *self, task_t *task);

/* orphan_execs.c: execs of which no process is known went with the shim: they were never started,
 * or it had no time to tell. Of those that have ended since, the journal may know; the others are
 * dropped. */
void orphan_settle_execs(manager_t *self, task_t *task);

#endif
