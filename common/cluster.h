/* Where a cluster is on this machine: its directories, sockets and options, the same for every
 * process of it and for its clients. */
#ifndef SHIMD_CLUSTER_H
#define SHIMD_CLUSTER_H

#include "common/log.h"
#include "common/status.h"

#include <limits.h>

#define CLUSTER_RUN_DIR  "/run/shimd"
#define CLUSTER_ROOT_DIR "/var/lib/shimd"
#define CLUSTER_CONFIG   "/etc/shimd/shimd.conf"

/* sun_path is 108 bytes; the longest socket name and its NUL must fit behind the run directory. */
#define CLUSTER_RUN_DIR_MAX 85
/* ROOT/task/NS/ID must stay a path the kernel takes. */
#define CLUSTER_ROOT_DIR_MAX (PATH_MAX - 256)

typedef struct cluster {
    char run_dir[CLUSTER_RUN_DIR_MAX + 1]; /* absolute */
    char root_dir[PATH_MAX];               /* absolute */
    char config[PATH_MAX];
    log_level_t log_level;
} cluster_t;

/* Defaults, then the environment (SHIMD_RUN_DIR, SHIMD_ROOT_DIR; empty counts as unset).
 * INVALID_ARGUMENT names the variable; that one then has its default. */
status_code_t cluster_init(cluster_t *self, status_t *st);

/* Makes `path` absolute and checks its length. INVALID_ARGUMENT names the limit, and leaves what
 * was there. The directory need not exist. */
status_code_t cluster_set_run_dir(cluster_t *self, const char *path, status_t *st);
status_code_t cluster_set_root_dir(cluster_t *self, const char *path, status_t *st);

/* "ipc://RUN/client.sock" for CLUSTER_CLIENT and so on; the caller frees. */
typedef enum cluster_socket {
    CLUSTER_CLIENT,      /* ROUTER for clients: client.sock */
    CLUSTER_WORKER,      /* ROUTER for workers: worker.sock */
    CLUSTER_PUBLISH,     /* XSUB for publishers: publish.sock */
    CLUSTER_EVENTS,      /* XPUB for subscribers: events.sock */
    CLUSTER_SHIM_EVENTS, /* ttrpc for shims' events: shim-events.sock */
    CLUSTER_SOCKETS
} cluster_socket_t;
const char *cluster_socket_name(cluster_socket_t socket); /* "client.sock" */
char *cluster_socket_path(const cluster_t *self, cluster_socket_t socket);
char *cluster_endpoint(const cluster_t *self, cluster_socket_t socket);

/* The cgroup below which the containers of this cluster are by default: "/shimd" for a cluster in
 * CLUSTER_RUN_DIR, "/shimd-" and a hash of the run directory for others, so that clusters with
 * equal container names do not meet in a cgroup. The caller frees. */
char *cluster_cgroup(const cluster_t *self);

/* The channel of common/keep.h; -1 when there is none. */
int cluster_keep_channel(void);

/* Makes every descriptor that the supervisor passed (sockets, SHIMD_READY_FD and the others)
 * close-on-exec. Before anything is spawned: a shim that held SHIMD_LOCK_FD would outlive the
 * cluster with its lock, and no successor could start. The lock itself needs no more care: it is
 * let go when the process ends. */
void cluster_inherit(void);

/* The listening descriptor that the supervisor passed under that name by systemd's protocol
 * (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES; sd_listen_fds(3)), made close-on-exec; -1 when there is
 * none. */
int cluster_inherited_socket(cluster_socket_t socket);

/* Tells the supervisor that this process is ready: one newline to the descriptor named by
 * SHIMD_READY_FD (s6's notification protocol). Does nothing without one. */
void cluster_notify_ready(void);

/* Tells it, after that, that this process was told to end and is at it: it is not killed before
 * restart/stop-timeout is over from here on, if it is to have a successor. False when the
 * supervisor does not listen. True without one. */
bool cluster_notify_busy(void);

#endif
