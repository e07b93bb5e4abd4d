/* What the doctor sees on the machine of one cluster: directories, processes, mounts, cgroups and
 * sockets. Looking changes nothing and asks nobody but the kernel. */
#ifndef SHIMD_DOCTOR_SEEN_H
#define SHIMD_DOCTOR_SEEN_H

#include "common/cluster.h"
#include "common/message.h"
#include "common/util.h"
#include "workers/shim/record.h"

#include <czmq.h>

#define SEEN_NAME_SIZE 256 /* NAME_MAX and NUL */
#define SEEN_KEY_SIZE  (77 + SEEN_NAME_SIZE)

typedef enum seen_kind {
    SEEN_BUNDLE,      /* RUN/task/NS/ID */
    SEEN_WORK,        /* ROOT/task/NS/ID */
    SEEN_HIDDEN,      /* of either, half made or half removed; `id` is that in its name */
    SEEN_FOREIGN,     /* in RUN/task or ROOT/task, and none of these */
    SEEN_QUARANTINED, /* RUN/quarantine/NS/NAME.MS, or its work directory */
    SEEN_RUNC,        /* RUN/runc/NS/ID */
    SEEN_FIFO,        /* RUN/fifo/HEX */
    SEEN_MOUNT,       /* below any of these */
    SEEN_CGROUP,      /* NS/ID below the cluster's own, in whichever hierarchies */
    SEEN_SHIM,        /* a process with the cluster's -address */
    SEEN_VERB,        /* the same, running `start` or `delete`: something is under way */
    SEEN_SOCKET,      /* in the shims' directory, and nobody listens; may be anybody's */
    SEEN_KINDS
} seen_kind_t;

/* What a bundle's own files say. */
typedef struct seen_bundle {
    char incarnation[UTIL_UUID_SIZE]; /* "" when it cannot be read */
    intent_t intent;
    endpoint_t endpoint;
    uint32_t init_pid; /* of init.json; 0 without */
    bool has_intent, has_endpoint, has_config, has_work;
} seen_bundle_t;

typedef struct seen {
    seen_kind_t kind;
    char ns[77], id[SEEN_NAME_SIZE]; /* whose it is; "" where that cannot be told */
    char *path;                      /* of a cgroup below the hierarchies' roots */
    char *note;                      /* why it was set aside; cgroup paths of a runc state */
    uint64_t mark;                   /* changes when another thing gets the same name */
    pid_t pid;      /* of a shim or verb; a cgroup's first process, 0: it is empty */
    uint64_t start; /* that process's proc_start_time */
    bool has_request;
    msg_uuid_t request;    /* that caused it */
    seen_bundle_t *bundle; /* of SEEN_BUNDLE */
} seen_t;

typedef struct machine {
    const cluster_t *cluster;
    zlistx_t *rows[SEEN_KINDS]; /* seen_t */
    zhashx_t *bundles;          /* seen_t of SEEN_BUNDLE by NS/ID; not owned */
} machine_t;

/* Looks at everything. What cannot be read is not there for it; root can read all. */
machine_t *machine_look(const cluster_t *cluster);
void machine_destroy(machine_t **self);

/* "NS/ID" as a key. */
const char *seen_key(const char *ns, const char *id, char key[SEEN_KEY_SIZE]);

const seen_t *machine_bundle(const machine_t *self, const char *ns, const char *id);

/* for the files that look: a fresh row at the end of its list. `path` is taken over. */
seen_t *machine_add(machine_t *self, seen_kind_t kind, const char *ns, const char *id, char *path);
void seen_directories(machine_t *self); /* seen_directories.c */
void seen_bundle_read(seen_t *row);     /* seen_bundle.c */
void seen_processes(machine_t *self);   /* seen_processes.c */
void seen_mounts(machine_t *self);      /* seen_mounts.c */
void seen_cgroups(machine_t *self);     /* seen_cgroups.c */
void seen_sockets(machine_t *self);     /* seen_sockets.c */

/* The request in a bundle's intent.json, wherever the directory is now. */
bool seen_request_of(const char *dir, msg_uuid_t *ret);

/* inode and time of change of what has that name, 0 when nothing has. */
uint64_t seen_mark(const char *path);

/* Whether any process holds a file of that directory open; true too when that cannot be known. */
bool seen_is_held(const char *dir);

/* The first process in the tree of cgroups at `dir`, 0 when there is none. */
pid_t seen_cgroup_process(const char *dir);

/* The letter /proc/PID/stat has for its state; 0 when there is no such process. */
char seen_process_state(pid_t pid);

/* Where shims listen. */
#define SEEN_SOCKET_DIR "/run/containerd/s"

#endif
