/* The trees of cgroups, as they are mounted: one of version 2, several of version 1, or both. */
#ifndef SHIMD_CGROUP_TREE_H
#define SHIMD_CGROUP_TREE_H

#include <stdbool.h>

/* Calls `visit` with the place where each hierarchy is mounted. */
typedef void cgroup_hierarchy_t(void *arg, const char *mount_point);
void cgroup_each_hierarchy(cgroup_hierarchy_t *visit, void *arg);

/* Removes the cgroup `path` ("/a/b") below every hierarchy's root, with those in it, as far as no
 * process is in them. True when nothing of it is left. */
bool cgroup_remove(const char *path);

#endif
