/* Shims as the processes they are: known by their arguments when nothing else is left. */
#ifndef SHIMD_SHIM_SHIM_PROCESS_H
#define SHIMD_SHIM_SHIM_PROCESS_H

#include "common/cluster.h"
#include "workers/shim/record.h"

typedef struct shim_words {
    char ns[77], id[77];
    bool is_verb; /* the executable runs `start` or `delete` */
} shim_words_t;

/* Whether the process is a shim or verb of this cluster, by its -address, and of our own user; then
 * `ret` is filled. */
bool shim_process_is(const cluster_t *cluster, pid_t pid, shim_words_t *ret);

/* Finds the shim that was started for this container and of which nobody knows where it listens:
 * the latest, if an earlier one is left. `ret` is of version 3, to be downgraded if that is too
 * much. Walks through all processes, some milliseconds: for when there is no other way to know.
 * False, with `ret` as it was, when there is none, or it does not listen at a path. */
bool shim_process_find(const cluster_t *cluster, const char *ns, const char *id, endpoint_t *ret);

#endif
