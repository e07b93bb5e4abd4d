/* Making, starting and following a process in a container: run, tasks start, attach and exec are
 * the same plan with steps left out. */
#ifndef SHIMD_LAUNCH_H
#define SHIMD_LAUNCH_H

#include "client/log_uri.h"
#include "client/session.h"

typedef struct launch_options {
    const char *id;                          /* container */
    const char *exec_id;                     /* exec; NULL for the init process */
    const msg_container_create_t *container; /* record to make first; NULL when it is there */
    msg_bytes_t process;                     /* OCI process object of an exec */
    int64_t deadline_ms;                     /* when an exec is killed and deleted; 0 for never */
    const msg_process_t *attach;             /* a process that runs already; nothing is made */
    const char *pid_file;                    /* written before the start; NULL for none */
    const char *fifo_dir;                    /* where they are made; NULL for RUN/fifo */
    const char *log_uri;                     /* NULL for fifos */
    const msg_cluster_t *logs;               /* a log writer takes the output, to where this cluster
                                              * keeps logs; NULL for none */
    log_uri_limits_t log_limits;             /* of that log */
    int64_t created_at;                      /* when a `container` that is there was made */
    const char *checkpoint;                  /* directory of images to restore; NULL for none */
    bool null_io;
    bool terminal;
    bool detach; /* leave once it is started */
    bool remove; /* delete the container at the end; the cluster does it when we are gone */
} launch_options_t;

/* Does it. The process is waited for before it is started, so that no exit is missed; its output is
 * drained before its task is deleted. When a step fails before the start, everything that was made
 * is undone. Returns the process's exit code, or an exit status; errors were printed. */
int launch(session_t *session, const launch_options_t *options);

#endif
