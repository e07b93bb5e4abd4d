/* The table of tasks: what is known of each container's task and its processes. It is a picture of
 * what the bundles and the shims hold, made anew by looking at them whenever the worker starts. */
#ifndef SHIMD_SHIM_TASK_H
#define SHIMD_SHIM_TASK_H

#include "common/io_timer.h"
#include "common/util.h"
#include "common/worker.h"
#include "workers/shim/begun.h"
#include "workers/shim/complaint.h"
#include "workers/shim/deleter.h"
#include "workers/shim/exec_deadline.h"
#include "workers/shim/log_pipe.h"
#include "workers/shim/park.h"
#include "workers/shim/shim.h"
#include "workers/shim/stdio_check.h"

typedef enum process_state {
    PROCESS_UNKNOWN, /* numbers are those of the Task service's Status */
    PROCESS_CREATED,
    PROCESS_RUNNING,
    PROCESS_STOPPED,
    PROCESS_PAUSED,
    PROCESS_PAUSING,
} process_state_t;
const char *process_state_name(process_state_t state);

typedef enum task_phase {
    TASK_LOADING, /* found at start, its shim has not answered yet; requests are parked */
    TASK_CREATING,
    TASK_LIVE,
    TASK_DELETING,
    TASK_CLEANING, /* deleted for all the world; its shim and bundle are on their way out */
    TASK_ORPHANED, /* its shim is gone, its processes are kept; see orphan.h */
    TASK_BURYING,  /* its shim is gone, what it left is being removed */
} task_phase_t;

typedef struct task task_t;
typedef struct settling settling_t; /* pause.c */
typedef struct unended unended_t;   /* unended.c */
struct manager;

/* The init process of a task, or one of its execs. */
typedef struct process {
    task_t *task;
    char exec_id[77]; /* empty for init */
    process_state_t state;
    uint32_t pid;
    uint64_t start;     /* proc_start_time; 0 when not known */
    int pidfd;          /* from its start on; -1 when there is none */
    msg_uuid_t request; /* that asked for it; zero when not known */
    msg_uuid_t starter; /* for which Start was last sent; zero before */
    int64_t sent_at;    /* when, ns since the epoch; known of execs */
    uint32_t exit_status;
    int64_t exited_at;       /* ns since the epoch, 0 before */
    const char *exit_source; /* where the exit is known from; static */
    uint32_t oom_kills;      /* in its cgroup, because memory was short, when it was killed */
    complaint_t untold;      /* of an exit that cannot be recorded */
    const char *exit_why;    /* why its code is not known, static; NULL when it is */
    bool has_exited;
    bool exit_recorded; /* the metadata worker has it */
    bool wait_pending;  /* a Wait is with the shim: never more than one for each process */
    bool is_starting;   /* a Start is */
    bool was_started;   /* a Start was sent, whatever came of it */
    bool is_unproven;   /* nothing showed that it ran, and it was killed since */
    bool is_unstarted;  /* it has ended, and certainly had no Start */
    bool start_failed;  /* an exec can then only be deleted */
    bool is_adopted;    /* from a predecessor, which may have asked to start it */
    bool is_inherited;  /* from a predecessor, which may not have recorded what made it so */
    bool is_refreshing; /* a State is, for nobody in particular */
    bool is_deleting;   /* an exec is on its way out, for whomever */
    exec_deadline_t deadline;
    io_timer_t again; /* exits_again */
    io_timer_t look;  /* exits_look */
    int64_t look_ms;
    bool terminal;
    char *in, *out, *err; /* owned */
    stdio_hold_t hold;    /* until the shim has opened them */
    zlistx_t *waiters;    /* request_t that wait for the end; not owned */
} process_t;

/* A process while an answer about it is waited for, in which it may go. */
typedef struct process_ref {
    struct manager *manager;
    char ns[77], id[77], exec_id[77], incarnation[UTIL_UUID_SIZE];
} process_ref_t;

struct task {
    char ns[77], id[77];
    char key[160]; /* ns/id, the table's key */
    char incarnation[UTIL_UUID_SIZE];
    struct manager *manager;
    char *bundle, *runtime; /* owned */
    begun_t begun;
    char *oom_file;       /* owned; cgroup_oom_file of init, NULL when there is none */
    uint32_t oom_before;  /* what it counted when that was last told, or at the beginning */
    settling_t *settling; /* while a pause is waited for; NULL otherwise; ends by itself */
    unended_t *unended;   /* while the journal has not that it came to nothing; NULL otherwise */
    deleter_t deleter;    /* the task.delete that is under way, or was when a predecessor died */
    intent_t *intent;     /* owned; NULL before it was made or read */
    task_phase_t phase;   /* task_enter */
    int64_t phase_at;     /* monotonic us, since when */
    char *held;           /* owned; why the phase cannot be finished for now; NULL mostly */
    shim_t *shim;         /* shared with the other tasks of its group; NULL without */
    log_pipe_t *log;
    process_t init;
    zhashx_t *execs;    /* process_t by exec id; owned */
    park_t *parked;     /* what waits until it is loaded, or gone; see manager_park */
    void *load_place;   /* where it stands among those that nobody has begun to load; or NULL */
    zlistx_t *deleters; /* request_t of task.delete, answered when it is gone; not owned */
    int64_t heard_ms;   /* when the shim last told its state */
    bool unresponsive;
    char stopped_in[64]; /* life of the cluster in which a client wanted it to end; see restart.h */
    msg_uuid_t stopper;  /* the request that said so first */
};

typedef struct task_table task_table_t;

task_table_t *task_table_new(struct manager *manager);
void task_table_destroy(task_table_t **self);

/* A fresh task in the table; NULL when there is one of that name. */
task_t *task_table_add(task_table_t *self, const char *ns, const char *id, const char *incarnation);
task_t *task_table_find(task_table_t *self, const char *ns, const char *id);
void task_table_remove(task_table_t *self, task_t *task); /* frees it */
task_t *task_table_first(task_table_t *self);
task_t *task_table_next(task_table_t *self);
size_t task_table_size(task_table_t *self);

/* The process with that exec id (NULL or empty: init); NULL when there is none. */
process_t *task_process(task_t *task, const char *exec_id);
process_t *task_add_exec(task_t *task, const char *exec_id);
void task_remove_exec(task_t *task, process_t *process);

process_ref_t process_ref(const process_t *process);
process_t *process_ref_find(const process_ref_t *self); /* NULL when it is gone */

/* The process runs, as `pid`: from here on it can be told from others of that pid, and is found
 * again without a shim. */
void process_started(process_t *self, uint32_t pid);

/* It has ended, although it need not be known yet how: no process of that pid has its start. */
bool process_is_gone(const process_t *self);

/* It has run, or may have: it does, or a Start of it was sent. */
bool process_may_have_run(const process_t *self);

/* runc's own program is there still, in wait for the Start: seen by its name, which each program
 * that follows it changes. Of other runtimes' processes that cannot be seen. */
bool process_waits_for_start(const process_t *self);

/* Into the bundle, for when the shim is gone. */
status_code_t task_write_init(task_t *self, status_t *st);

/* How many kills for want of memory there were since it was last asked. */
uint32_t task_new_oom_kills(task_t *self);

/* Its shim has answered just now. */
void task_heard(task_t *self);

/* From here on it is in that phase, which nothing holds up so far. */
void task_enter(task_t *self, task_phase_t phase);

/* What holds up the phase it is in; NULL for nothing any more. */
void task_hold(task_t *self, const char *why);

void process_set_stdio(process_t *process, const char *in, const char *out, const char *err,
                       bool terminal);

/* Fills the wire's picture; texts are borrowed from the task. */
void process_describe(const process_t *process, msg_process_t *ret);

#endif
