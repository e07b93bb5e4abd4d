/* The trees of cgroups, as they are mounted: one of version 2, several of version 1, or both. */
#ifndef SHIMD_CGROUP_TREE_H
#define SHIMD_CGROUP_TREE_H

#include <stdbool.h>

/* Calls `visit` with the place where each hierarchy is mounted. */
typedef void cgroup_hierarchy_t(void *arg, const char *mount_point);
void cgroup_each_hierarchy(cgroup_hierarchy_t *visit, void *arg);

/* The first answer that is not NULL when `place` is called with each hierarchy where `controller`
 * may be: that of version 1 which has it, and that of version 2. The caller frees it. */
typedef char *cgroup_place_t(void *arg, const char *mount_point, bool is_v1);
char *cgroup_find(const char *controller, cgroup_place_t *place, void *arg);

/* Removes the cgroup `path` ("/a/b") below every hierarchy's root, with those in it, as far as no
 * process is in them. True when nothing of it is left. */
bool cgroup_remove(const char *path);

#endif
