/* The cgroup of a container that has no shim any more, as far as it has to be used without one. */
#ifndef SHIMD_SHIM_CGROUP_H
#define SHIMD_SHIM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The processes in the same cgroup as `pid` (in the freezer's hierarchy where cgroups are of
 * version 1), at most CGROUP_PIDS_MAX. How many there are; the caller frees `ret`. 0 when it is in
 * the root cgroup or none can be found: then nothing is known. */
#define CGROUP_PIDS_MAX 65536
size_t cgroup_pids(pid_t pid, pid_t **ret);

/* Thaws that cgroup: a frozen process does not die of a signal. */
void cgroup_thaw(pid_t pid);

#endif
