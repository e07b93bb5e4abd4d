/* Events that are written here, with containerd's topics, types and fields (api/events), in the
 * transaction of their cause. */
#ifndef SHIMD_METADATA_OWN_EVENTS_H
#define SHIMD_METADATA_OWN_EVENTS_H

#include "workers/metadata/automaton.h"
#include "workers/metadata/call.h"

typedef enum own_event {
    OWN_NAMESPACE_CREATE,
    OWN_NAMESPACE_UPDATE,
    OWN_NAMESPACE_DELETE,
    OWN_CONTAINER_CREATE,
    OWN_CONTAINER_UPDATE,
    OWN_CONTAINER_DELETE,
} own_event_t;

/* As containerd does, events about a namespace are in that namespace. */
void own_events_namespace(txn_t *txn, own_event_t what, const msg_namespace_t *record, int64_t now);
void own_events_container(txn_t *txn, own_event_t what, const msg_container_t *record, int64_t now);

/* An event of a task, of what is known here. */
typedef struct own_task_event {
    task_event_t kind; /* not TASK_EVENT_OTHER */
    const char *ns, *id, *incarnation;
    const char *exec_id; /* "" for init */
    const char *evidence;
    uint64_t *newest; /* journal_event_t */
    uint32_t pid;
    msg_exited_t exited; /* for exit and delete. With `unknown` the fields `unknown` and `why` stand
                            beside the exit status, which then is not to be read. */
} own_task_event_t;
void own_events_task(txn_t *txn, const own_task_event_t *event, int64_t now);

#endif
