/* What Pids and Stats say of a container, from /proc. */
#ifndef SHIMD_FAKE_STATS_H
#define SHIMD_FAKE_STATS_H

#include "tests/fake-shim/container.h"

/* An encoded PidsResponse: the first process, and execs with their ids; empty after the exit. The
 * caller frees. */
void stats_pids(const container_t *container, uint8_t **ret, size_t *size);

/* An encoded StatsResponse: the bytes of the file that the setting "stats" names, else cgroup v1
 * metrics with the number of processes, CPU time and memory. The caller frees. */
void stats_metrics(const container_t *container, uint8_t **ret, size_t *size);

#endif
