/* The cluster's listening sockets. The supervisor keeps them open as long as it lives, so that
 * connecting succeeds while the process that serves one is being replaced: the kernel queues. */
#ifndef SHIMD_LISTENER_H
#define SHIMD_LISTENER_H

#include "common/cluster.h"

#include <jansson.h>
#include <sys/types.h>

typedef struct listeners {
    int fds[CLUSTER_SOCKETS]; /* by cluster_socket_t; -1 when not open */
} listeners_t;

#define LISTENER_NO_GROUP ((gid_t)-1)

/* Binds all of them in RUN, 0600. With a `group`, the clients' and the subscribers' get that group
 * and 0660. Replaces sockets that a dead predecessor left, so the run directory's lock must be
 * held; a file that is no socket is left alone and is FAILED_PRECONDITION. On failure nothing stays
 * open. Those that a predecessor in the same process left (`inherited`, NULL for none) are taken as
 * they are. */
status_code_t listeners_open(listeners_t *self, const cluster_t *cluster, gid_t group,
                             const json_t *inherited, status_t *st);

/* For a successor in the same process, and what was left by a predecessor in it (NULL: nothing). */
json_t *listeners_save(const listeners_t *self);
void listeners_restore(listeners_t *self, const json_t *state);

/* Closes them and removes their files. */
void listeners_close(listeners_t *self, const cluster_t *cluster);

#endif
