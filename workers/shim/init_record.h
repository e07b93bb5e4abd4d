/* The init process of a task, in its bundle: what is left to know it by when its shim and a
 * predecessor are gone. */
#ifndef SHIMD_SHIM_INIT_RECORD_H
#define SHIMD_SHIM_INIT_RECORD_H

#include "common/message.h"
#include "common/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct init_record {
    uint32_t pid;
    uint64_t start;      /* proc_start_time */
    uint32_t oom_before; /* kills for want of memory that its cgroup counted, and that were told */
    char oom_file[PATH_MAX]; /* where it counts them; "" when that is nowhere */
    bool has_started;        /* it was asked to become the container's own program */
    msg_uuid_t starter;      /* for this request */
} init_record_t;

/* init.json. A failure is logged: the task goes on, and is lost with its shim. */
void init_record_write(const char *bundle, const init_record_t *record);

/* False when there is none. */
bool init_record_read(const char *bundle, init_record_t *ret);

#endif
