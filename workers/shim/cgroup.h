/* The cgroup of a container: as far as it has to be used without a shim, and as evidence of how its
 * processes ended. */
#ifndef SHIMD_SHIM_CGROUP_H
#define SHIMD_SHIM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The processes in the same cgroup as `pid` (in the freezer's hierarchy where cgroups are of
 * version 1), at most CGROUP_PIDS_MAX. How many there are; the caller frees `ret`. 0 when it is in
 * the root cgroup or none can be found: then nothing is known. */
#define CGROUP_PIDS_MAX 65536
size_t cgroup_pids(pid_t pid, pid_t **ret);

/* Sends the signal to every other process of that cgroup. `start` is when `pid` was started (0: not
 * known). No other process is hit, whatever has come to a pid meanwhile. */
void cgroup_signal_others(pid_t pid, uint64_t start, int number);

/* Thaws that cgroup: a frozen process does not die of a signal. */
void cgroup_thaw(pid_t pid);

/* The file that counts how often the kernel killed in that cgroup because memory was short
 * (memory.oom_control of version 1, memory.events of version 2). The caller frees. NULL when there
 * is none, and where this process is in the same cgroup: that tells nothing of a container. */
char *cgroup_oom_file(pid_t pid);

/* What it counts; 0 when it cannot be read, as when the cgroup is gone. */
uint32_t cgroup_oom_kills(const char *file);

#endif
