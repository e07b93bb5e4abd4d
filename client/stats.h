/* What containers use, looked at again and again: the rows that `stats` prints. */
#ifndef SHIMD_STATS_H
#define SHIMD_STATS_H

#include "client/metrics.h"

#define STATS_LOOK_MS 5000 /* how long a look waits for a shim that does not answer */

typedef struct stats_view stats_view_t;

/* One container in the last look, and in the one before it. */
typedef struct stats_row {
    stats_view_t *view;
    char *id;
    bool known; /* `usage` is of the last look */
    bool had;   /* and `before_*` of the one before it */
    int64_t time, before_time;
    metrics_usage_t usage;
    uint64_t before_cpu_ns;
    status_t why; /* it is not known */
} stats_row_t;

struct stats_view {
    session_t *session;
    stats_row_t *rows;
    size_t count;
    bool all;      /* no container was named: those that run */
    size_t asked;  /* rows that have no answer yet */
    bool is_asked; /* none is left */
};

void stats_add_row(stats_view_t *self, const char *id);
void stats_clear(stats_view_t *self);

/* Asks for all containers at once, so that one whose shim is mute keeps no other waiting: it stays
 * without numbers, and with the reason why, as does one that was named and has ended. Fails when a
 * container that was named is not there, when the cluster does not answer, and with CANCELLED after
 * a signal. */
status_code_t stats_look(stats_view_t *self, status_t *st);

/* Of one processor; -1 where there was no earlier look. */
double stats_cpu_percent(const stats_row_t *row);

#endif
