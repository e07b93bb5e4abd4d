/* What every part of the shim worker works with: the tables, the loop, the cluster's addresses. */
#ifndef SHIMD_SHIM_MANAGER_H
#define SHIMD_SHIM_MANAGER_H

#include "workers/shim/settings.h"
#include "workers/shim/task.h"

#include "common/proc.h"
#include "common/proto/task.pb-c.h"

#define MANAGER_WINDOW 1024 /* requests the broker hands over at once */
/* More creates than these wait: each runs an OCI runtime, and what is urgent needs the processors
 * too. One that takes long hardly uses them, and counts no more then. */
#define CREATES_PER_PROCESSOR 2
#define CREATES_LEAST         4
#define CREATES_MOST          64
#define CREATE_SLOW_MS        1000

typedef struct manager {
    worker_t *worker;
    io_set_t *io;
    link_t *link;
    timeouts_t timeouts;
    shim_loss_t on_shim_loss;
    task_table_t *tasks;
    zhashx_t *shims;     /* shim_t by address; each is destroyed by whoever ends it */
    io_timer_t keeping;  /* see keeping.h */
    zlistx_t *debts;     /* see debt.h */
    char *grpc_address;  /* hashed into the shims' socket names: the cluster's own, and stable */
    char *ttrpc_address; /* where shims send their events */
    char *runc_root;
    struct loader *loader;     /* NULL once every task is adopted or gone */
    bool is_loading;           /* not all bundles of the predecessor were looked at */
    zhashx_t *restarts;        /* see restart.h */
    char life[PROC_NAME_SIZE]; /* of the cluster: the same as long as its supervisor runs */
    unsigned creates;          /* under way */
    unsigned slow_creates;     /* of those, how many have taken CREATE_SLOW_MS */
    zlistx_t *create_queue;    /* request_t of task.create that wait for their turn; not owned */
} manager_t;

/* The shim at that address, connected to when it is not in the table yet. */
shim_t *manager_shim(manager_t *self, const endpoint_t *endpoint, status_t *st);

/* verb.c: a shim's executable run for one of its verbs. `done` is called once, from the loop. */
typedef void verb_started_t(void *arg, const status_t *st, const endpoint_t *endpoint);
void verb_start(manager_t *self, task_t *task, const char *options_type, const uint8_t *options,
                size_t options_size, verb_started_t *done, void *arg);
typedef void verb_deleted_t(void *arg, const status_t *st, const msg_exited_t *exited);
void verb_delete(manager_t *self, task_t *task, verb_deleted_t *done, void *arg);

/* ending.c: Shutdown, then SIGKILL when it is still there after the time for that (at once with
 * `now`); `done` when the process is gone and its socket with it. Frees the shim. */
void ending_begin(manager_t *self, shim_t *shim, const char *ns, const char *id, bool now,
                  void (*done)(void *arg), void *arg);

/* exits.c */
#define KILLED 137 /* exit status after SIGKILL */
typedef struct exit_news {
    uint32_t status;
    int64_t at;         /* ns since the epoch */
    const char *source; /* "wait", "state", "none"; static */
    const char *why;    /* why the status is not known, static; NULL when it is */
} exit_news_t;
void exits_wait(process_t *process); /* asks the shim to tell its end, once */
/* The same for all processes of a task whose earlier Waits are lost to us. Real shims keep every
 * Wait until the process ends, whoever has asked; where the kernel shows the end, they are asked
 * after it only. */
void exits_wait_again(task_t *task);
void exits_record(manager_t *self, process_t *process, const exit_news_t *news);
/* The record that the journal has of it already, of a known status. */
void exits_recorded(process_t *process, const msg_exited_t *exited);
void exits_again(void *process); /* timer: what failed is tried again */
void exits_look(void *process);  /* timer: whether it has ended after all */
void exits_add_waiter(process_t *process, request_t *request);
void exits_hand_over(manager_t *self, process_t *process); /* waiters: to the exit record */
worker_forget_t exits_forget;
void exits_answer_deleted(manager_t *self, request_t *request, const char *id, const char *exec_id);
void exits_describe(const process_t *process, msg_exited_t *ret);

/* ns since the epoch; 0 for what a shim says of a process that has not exited (the year 1). */
int64_t exits_time(const Google__Protobuf__Timestamp *at);

/* bury.c: the shim is gone, which frees it; its tasks that no operation has in its hands are
 * buried. */
void bury_shim(manager_t *self, shim_t *shim);
void bury_all(void *arg, shim_t *shim); /* shim_gone_t of the same */
void bury_task(manager_t *self, task_t *task);

/* load.c: looks at the bundles that are there. `done` when the table is complete (not yet checked).
 */
void load_begin(manager_t *self, void (*done)(manager_t *self));

/* A request that comes before that, about what is not in the table yet: true when it waits. What it
 * is about is looked for at once; then, or when the table is complete, `go` is called. */
typedef void load_go_t(manager_t *self, request_t *request);
bool load_defer(manager_t *self, request_t *request, load_go_t *go);

void load_hurry(manager_t *self,
                task_t *task);           /* somebody asks for it: it is the next to be loaded */
void load_back(void *arg, shim_t *shim); /* a lost connection was made again */

/* A request for a task that is still being loaded, a create for one that is still being cleaned
 * away, or a delete of one that is being buried, waits with it, and is run when that is over; one
 * whose deadline comes first is answered UNAVAILABLE with the task's id and `why`. */
void manager_park(task_t *task, request_t *request, const char *why);
void manager_unpark(task_t *task);

/* All of them, and those that follow, wait for something else than was known when they came. */
void manager_explain(task_t *task, const char *why);

/* The same for what holds it up (task_hold), until it is explained anew or enters another phase. */
void manager_hold(task_t *task, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define PARK_MUTE     "its shim does not answer"
#define PARK_CLEANING "what its id stood for before is still being removed"
#define PARK_BURYING  "its shim is gone, and what that left is still being removed"
#define PARK_JOURNAL  "its shim is gone, and its end cannot be recorded yet"

/* Out of the table, which frees it: waiters get the exit record, parked requests are run. */
void manager_remove_task(manager_t *self, task_t *task);

/* exec_delete.c: task.delete of an exec. */
void exec_delete_begin(request_t *request, process_t *process, bool force);

/* The same for nobody, of one that has ended; exec_deadline_deleted follows. */
void exec_delete_expired(process_t *process);

/* create.c */
void create_next(manager_t *self);

/* The handlers' common beginning: the live task and process that are asked for, or NULL after the
 * request has been failed or parked. */
process_t *manager_find(manager_t *self, request_t *request, const char *id, const char *exec_id);

/* The id of the container that the request is about; NULL when it is about none. */
const char *manager_target(const request_t *request);

/* The request had begun before, in the hands of a predecessor. */
bool manager_is_again(const task_t *task, const request_t *request);

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
