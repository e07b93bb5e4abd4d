/* Shared by the files of launch: its state, and the steps of its plan. */
#ifndef SHIMD_LAUNCH_INTERNAL_H
#define SHIMD_LAUNCH_INTERNAL_H

#include "client/launch.h"
#include "client/progress.h"
#include "client/signals.h"
#include "client/task_io.h"

#include <signal.h>

typedef enum launch_outcome {
    STEP_DONE,   /* go on */
    STEP_ASKED,  /* launch_advance will be called */
    STEP_FAILED, /* `st` says why */
} launch_outcome_t;

typedef struct launch {
    session_t *session;
    link_t *link;
    const launch_options_t *options;
    task_io_t *io;
    const char *fifos; /* directory to make for them */
    signals_t *signals;
    int at;             /* step of the plan; walks back while undoing */
    status_t st;        /* what ended the plan */
    status_t verdict;   /* the process has ended, but its exit code cannot be told */
    msg_uuid_t wait_id; /* the ask that is answered at the exit */
    int64_t quiet_from; /* util_monotonic_us() of what output is still expected after */
    int64_t created_at; /* of the container record, once it is there; ns since the epoch */
    int64_t exited_at;  /* ns since the epoch */
    uint32_t pid;
    int code;             /* the process's exit code */
    int interrupts;       /* ending signals before the start */
    sigset_t held;        /* signals that came before the start, for what will run */
    int unanswered;       /* signals passed on since the cluster last answered one */
    progress_t *progress; /* until the process is started */
    int lost; /* errno of standard output or error, which takes no more; 0 while it does */
    bool undoing;
    bool over;           /* the loop is told to end */
    bool wrote_pid_file; /* by us, so it is ours to remove */
    bool started;        /* from here on nothing is undone */
    bool exited;         /* `code` and `exited_at` are known */
    bool deleted;        /* the task is: nobody writes to its fifos any more */
    bool awaiting;       /* the present step ends with the exit or the output's end */
    bool deaf;           /* the rest of the output is not wanted */
    bool ending;         /* the process is told to end because the terminal is lost */
} launch_t;

/* Sends a request; `reply` gets the launch. */
launch_outcome_t launch_ask(launch_t *self, msg_id_t method, const void *ask, link_reply_t *reply);

/* The usual reply: goes on with the plan, or fails it. */
void launch_on_reply(void *arg, const status_t *st, const void *answer);

/* Goes on after the present step came to `outcome`, as far as it goes without waiting. */
void launch_advance(launch_t *self, launch_outcome_t outcome);

/* Ends the loop; the state is what the result is made from. */
void launch_end(launch_t *self);

/* launch_steps.c: up to the start, and back */
launch_outcome_t launch_create_container(launch_t *self);
launch_outcome_t launch_undo_container(launch_t *self);
launch_outcome_t launch_open_io(launch_t *self);
launch_outcome_t launch_undo_io(launch_t *self);
launch_outcome_t launch_create_task(launch_t *self);
launch_outcome_t launch_undo_task(launch_t *self);
launch_outcome_t launch_write_pid_file(launch_t *self);
launch_outcome_t launch_undo_pid_file(launch_t *self);
launch_outcome_t launch_start(launch_t *self);

/* launch_follow.c: from the start to the end */
launch_outcome_t launch_wait(launch_t *self);
launch_outcome_t launch_follow(launch_t *self);
launch_outcome_t launch_delete_task(launch_t *self);
launch_outcome_t launch_delete_container(launch_t *self);
void launch_on_stdin_end(void *arg);
void launch_on_drained(void *arg); /* or lost */
void launch_on_signal(void *arg, int number);
void launch_send_size(launch_t *self); /* the terminal's, and goes on */

/* The same with a reply; false, and nothing is asked, when the size is not known. */
bool launch_ask_size(launch_t *self, link_reply_t *reply);

#endif
