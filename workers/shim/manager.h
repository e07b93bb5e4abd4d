/* What every part of the shim worker works with: the tables, the loop, the cluster's addresses. */
#ifndef SHIMD_SHIM_MANAGER_H
#define SHIMD_SHIM_MANAGER_H

#include "workers/shim/task.h"

#define MANAGER_WINDOW     1024 /* requests the broker hands over at once */
#define CREATES_AT_ONCE    16 /* more wait: each runs an OCI runtime, and there are few processors */
#define START_TIMEOUT_MS   10000 /* of a shim's `start` verb */
#define DELETE_TIMEOUT_MS  10000 /* of its `delete` verb; containerd allows 5 s */
#define CONNECT_TIMEOUT_MS 10000 /* of the first call, while the shim still initialises */
#define CREATE_TIMEOUT_MS  40000 /* its own limit for opening fifos is 30 s */
#define CALL_TIMEOUT_MS    30000 /* of calls that run the OCI runtime */
#define STATE_TIMEOUT_MS   2000  /* of State for task.get; then the last known state is told */

typedef struct manager {
    worker_t *worker;
    zloop_t *loop;
    io_set_t *io;
    link_t *link;
    task_table_t *tasks;
    zhashx_t *shims;     /* shim_t by address; each is destroyed by whoever ends it */
    char *grpc_address;  /* hashed into the shims' socket names: the cluster's own, and stable */
    char *ttrpc_address; /* where shims send their events */
    char *runc_root;
    unsigned creates;       /* under way */
    zlistx_t *create_queue; /* request_t of task.create that wait for their turn; not owned */
} manager_t;

/* The shim at that address, connected to when it is not in the table yet. */
shim_t *manager_shim(manager_t *self, const endpoint_t *endpoint, status_t *st);

/* verb.c: a shim's executable run for one of its verbs. `done` is called once, from the loop. */
typedef void verb_started_t(void *arg, const status_t *st, const endpoint_t *endpoint);
void verb_start(manager_t *self, task_t *task, const char *options_type, const uint8_t *options,
                size_t options_size, verb_started_t *done, void *arg);
typedef void verb_deleted_t(void *arg, const status_t *st, const msg_exited_t *exited);
void verb_delete(manager_t *self, task_t *task, verb_deleted_t *done, void *arg);

/* ending.c: Shutdown, then SIGKILL when it is still there after SHIM_SHUTDOWN_MS (at once with
 * `now`); `done` when the process is gone and its socket with it. Frees the shim. */
void ending_begin(manager_t *self, shim_t *shim, const char *ns, const char *id, bool now,
                  void (*done)(void *arg), void *arg);

/* exits.c */
void exits_wait(manager_t *self, process_t *process); /* asks the shim to tell its end, once */
void exits_record(manager_t *self, process_t *process, uint32_t status, int64_t at,
                  const char *why);
void exits_add_waiter(manager_t *self, process_t *process, request_t *request);
void exits_answer_deleted(manager_t *self, request_t *request, const char *id, const char *exec_id);

/* bury.c: the shim of these tasks is gone. */
void bury_all(void *arg, shim_t *shim);
void bury_task(manager_t *self, task_t *task);

/* load.c: looks at the bundles that are there. `done` when the table is complete (not yet checked).
 */
void load_begin(manager_t *self, void (*done)(manager_t *self));
void load_back(void *arg, shim_t *shim); /* a lost connection was made again */

/* A request for a task that is still being loaded waits with it, and is run when that is over. */
void manager_park(task_t *task, request_t *request, const void *ask);
void manager_unpark(manager_t *self, zlistx_t *parked); /* frees the list */

/* create.c */
void create_next(manager_t *self);

/* The handlers' common beginning: the live task and process that are asked for, or NULL after the
 * request has been failed or parked. */
process_t *manager_find(manager_t *self, request_t *request, const void *ask, const char *id,
                        const char *exec_id);

/* Answers or fails from what a shim said. */
void manager_fail(request_t *request, status_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define HANDLER(name) void on_##name(void *self, request_t *request, const void *ask)
HANDLER(task_create);
HANDLER(task_start);
HANDLER(task_get);
HANDLER(task_list);
HANDLER(task_wait);
HANDLER(task_kill);
HANDLER(task_exec);
HANDLER(task_pids);
HANDLER(task_pause);
HANDLER(task_resume);
HANDLER(task_update);
HANDLER(task_stats);
HANDLER(task_checkpoint);
HANDLER(task_resize);
HANDLER(task_close_io);
HANDLER(task_delete);

#endif
