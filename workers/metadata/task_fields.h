/* What a task's event tells: whom it is about, and of what. */
#ifndef SHIMD_METADATA_TASK_FIELDS_H
#define SHIMD_METADATA_TASK_FIELDS_H

#include "workers/metadata/automaton.h"

#include <msgpack.h>

#define TASK_FIELDS_ID_SIZE 77 /* an identifier with its NUL */

typedef struct task_fields {
    task_event_t kind;
    char id[TASK_FIELDS_ID_SIZE];      /* of the container; "" when it tells none */
    char exec_id[TASK_FIELDS_ID_SIZE]; /* "" for the init process */
    uint32_t pid;                      /* likewise 0 */
    uint32_t exit_status;              /* of an exit or delete, as is: */
    int64_t exited_at;                 /* ns since the epoch */
} task_fields_t;

/* The kind that a topic stands for, TASK_EVENT_OTHER for one that is not known, and nothing else.
 */
task_fields_t task_fields_of(const char *topic);

/* Reads the rest from the event's fields. */
void task_fields_read(task_fields_t *self, const msgpack_object *map);

#endif
