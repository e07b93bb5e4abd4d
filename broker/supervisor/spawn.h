/* Starts one process of the cluster with the sockets it serves. */
#ifndef SHIMD_SPAWN_H
#define SHIMD_SPAWN_H

#include "common/cluster.h"

#include <sys/types.h>

typedef struct spawn_plan {
    const char *path;         /* of the executable; also its argv[0] */
    const cluster_t *cluster; /* becomes its options */
    int lock_fd;              /* of the run directory; inherited */
    int keep_fd;              /* the process's end of a keeper's channel; inherited */
    size_t socket_count;      /* at most CLUSTER_SOCKETS */
    const cluster_socket_t *sockets;
    const int *socket_fds; /* listening descriptors of `sockets`, in the same order */
} spawn_plan_t;

/* What a process that could not be executed leaves in the pipe, followed by errno as an int. A
 * process that has become ready leaves a newline, and a plus sign each time that it wants to be
 * given more time to end. */
#define SPAWN_READY       '\n'
#define SPAWN_BUSY        '+'
#define SPAWN_EXEC_FAILED 'E'

/* The process has nothing but standard input (/dev/null), output and error, its sockets by
 * systemd's protocol, SHIMD_READY_FD, SHIMD_LOCK_FD and SHIMD_KEEP_FD; its signals are as a fresh
 * process has them; it is alone in its process group, so that the terminal's Ctrl-C does not reach
 * it; it is killed when the calling thread's process ends. Returns its pid, and in `ret_ready` the
 * reading end of its readiness pipe (non-blocking; the caller closes); or -1 with a status. */
pid_t spawn_process(const spawn_plan_t *plan, int *ret_ready, status_t *st);

#endif
