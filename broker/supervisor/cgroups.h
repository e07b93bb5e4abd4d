/* What a cluster's containers leave in the cgroup file systems: the runtime makes the directories
 * above a container's cgroup and removes none of them. */
#ifndef SHIMD_CGROUPS_H
#define SHIMD_CGROUPS_H

#include "common/cluster.h"

/* Removes the empty directories of cluster_cgroup's tree, namespaces first, in every hierarchy. One
 * in which a container lives stays. Only while nothing can be making containers: the runtime does
 * not expect a directory to vanish that it has just made. */
void cgroups_prune(const cluster_t *cluster);

#endif
