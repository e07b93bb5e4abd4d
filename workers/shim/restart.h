/* Restarts that the containers' policies ask for. The metadata worker decides and remembers which
 * are due; they are carried out here, with requests to the broker as a client would make them:
 * task.delete, task.create, task.start. Each has an id that follows from the run that is restarted
 * and the attempt, so that a successor asks the very same again, and each runs once. */
#ifndef SHIMD_SHIM_RESTART_H
#define SHIMD_SHIM_RESTART_H

#include "workers/shim/manager.h"

/* The manager's part; `restarts_begin` asks what a predecessor has left, once the table of tasks is
 * complete. */
void restarts_init(manager_t *self);
void restarts_begin(manager_t *self);
void restarts_destroy(manager_t *self);

/* Takes up a restart that the metadata worker has answered; an empty answer is none. */
void restart_due(manager_t *self, const msg_restart_due_t *due);

/* A client has made a task of the container by itself. */
void restart_superseded(manager_t *self, const task_t *task);

/* A client's stop wins: true when a restart of the container is due or under way. It is given up
 * then, which is recorded, and the request is answered, or carried out on what was begun. False
 * also for the restart's own requests. */
bool restart_stop(manager_t *self, request_t *request, const char *id);

/* A client wants this run to end: written down in its bundle before anything is done about it, and
 * told with the exit. The text for that, or NULL. */
void restart_mark_stopped(task_t *task, const request_t *request);
void restart_load_mark(task_t *task);
const char *restart_stopped_in(const task_t *task);

/* A signal to a container that is a client's stop, because it says so or by its number: no restart
 * follows. */
bool restart_is_stop(const msg_task_kill_t *kill);

/* A task.kill is answered so: a stop that was accepted is told with its outcome; one that was
 * refused is taken back. */
void restart_on_kill_outcome(manager_t *self, const request_t *request,
                             msg_request_record_t *outcome);

/* The request is that by which a restart removes the run before. */
bool restart_is_own_delete(const task_t *task, const request_t *request);

#endif
