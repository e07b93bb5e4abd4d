/* The containers of this shim and their processes. A "container" is nothing but a process group of
 * this machine: no namespace, no cgroup, no root of its own; but its exit codes are real. */
#ifndef SHIMD_FAKE_CONTAINER_H
#define SHIMD_FAKE_CONTAINER_H

#include "common/proto/task.pb-c.h"
#include "common/status.h"
#include "tests/fake-shim/spec.h"
#include "tests/fake-shim/streams.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

typedef enum process_state { PROCESS_CREATED, PROCESS_RUNNING, PROCESS_STOPPED } process_state_t;

typedef struct container container_t;

typedef struct process {
    container_t *container;
    char *exec_id; /* "" for the container's first */
    program_t program;
    pid_t pid; /* 0 before there is one */
    int gate;  /* what Start opens; -1 after it */
    process_state_t state;
    bool has_failed; /* to start: then there is nothing to wait for */
    bool is_ended;   /* reaped; an init is stopped only when its execs are too */
    bool is_deleted;
    uint32_t exit_status;
    int64_t exited_ns; /* 0 while it has not */
    bool is_terminal;
    char *in, *out, *err; /* as the manager named them */
    streams_t streams;
    int uses; /* its list's, and one for each waiter */
    TAILQ_ENTRY(process) link;
} process_t;

struct container {
    char *id, *bundle;
    bool is_paused;
    bool is_pausing;  /* a Pause is held up */
    bool is_restored; /* from a checkpoint: has no pid before Start */
    process_t *init;
    TAILQ_HEAD(, process) execs;
    TAILQ_ENTRY(container) link;
};

/* One lock for everything here, held by the caller of all the functions below. Create holds it
 * while it waits for the reader of a FIFO, as a real shim does, so that everything else waits too.
 */
void containers_lock(void);
void containers_unlock(void);

size_t containers_count(void);

/* NOT_FOUND in the shim's words. An `exec_id` of "" is the container's first process. */
container_t *containers_find(const char *id, status_t *st);
process_t *process_find(const char *id, const char *exec_id, status_t *st);

/* Makes the container with its first process, which waits for process_start. */
container_t *container_create(const Containerd__Task__V2__CreateTaskRequest *ask,
                              const spec_t *spec, status_t *st);

/* The container is gone from here on; its execs too. `init` must be stopped, or created and is
 * killed then. */
void container_remove(container_t *self);

/* Adds an exec to the container; it does not run yet. */
process_t *container_add_exec(container_t *self,
                              const Containerd__Task__V2__ExecProcessRequest *ask, status_t *st);

status_code_t process_start(process_t *self, status_t *st);

/* Removes an exec that does not run. */
void process_remove(process_t *self);

/* Sends a signal to the process, or to all of its group. */
status_code_t process_kill(const process_t *self, uint32_t number, bool all, status_t *st);

/* Waits, letting go of the lock meanwhile, until the process has stopped, has failed to start or
 * was deleted. It stays readable until process_release. */
void process_wait(process_t *self);
void process_release(process_t *self);

/* Reaps what has ended, publishes its exit, wakes up waiters. Without the lock held. */
void containers_reap(void);

#endif
