/* What a task uses, in one shape for both generations of cgroups. */
#ifndef SHIMD_METRICS_H
#define SHIMD_METRICS_H

#include "client/session.h"

#include <jansson.h>

typedef enum metrics_kind {
    METRICS_V1,    /* io.containerd.cgroups.v1.Metrics */
    METRICS_V2,    /* io.containerd.cgroups.v2.Metrics */
    METRICS_OTHER, /* a shim's own: fields are printed, nothing is known of them */
} metrics_kind_t;

typedef struct metrics {
    metrics_kind_t kind;
    int64_t time;  /* nanoseconds since the epoch */
    json_t *stats; /* decoded fields, an object; NULL when the type is not known to the cluster */
} metrics_t;

/* What an answer to task.stats says. Release with metrics_clear. */
void metrics_read(const msg_task_metrics_t *answer, metrics_t *ret);

/* Asks the cluster. Release with metrics_clear. The statuses are those of task.stats. */
status_code_t metrics_ask(session_t *session, const char *id, metrics_t *ret, status_t *st);
void metrics_clear(metrics_t *self);

/* A number by its path, "memory.usage.usage"; 0 when it is not there. */
uint64_t metrics_number(const metrics_t *self, const char *path);

/* What `stats` prints of a task. Memory is what it needs, without the page cache that the kernel
 * takes back first. A limit of 0 or beyond the machine's memory is the machine's memory. */
typedef struct metrics_usage {
    uint64_t cpu_ns;       /* processor time so far */
    uint64_t memory;       /* bytes */
    uint64_t memory_limit; /* bytes */
    uint64_t pids;
} metrics_usage_t;
metrics_usage_t metrics_usage(const metrics_t *self);

#endif
