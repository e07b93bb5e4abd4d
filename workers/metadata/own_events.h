/* Events that are written here, with containerd's topics, types and fields (api/events), in the
 * transaction of their cause. */
#ifndef SHIMD_METADATA_OWN_EVENTS_H
#define SHIMD_METADATA_OWN_EVENTS_H

#include "workers/metadata/call.h"

typedef enum own_event {
    OWN_NAMESPACE_CREATE,
    OWN_NAMESPACE_UPDATE,
    OWN_NAMESPACE_DELETE,
    OWN_CONTAINER_CREATE,
    OWN_CONTAINER_UPDATE,
    OWN_CONTAINER_DELETE,
    OWN_TASK_EXIT,
    OWN_TASK_DELETE,
} own_event_t;

/* As containerd does, events about a namespace are in that namespace. */
void own_events_namespace(txn_t *txn, own_event_t what, const msg_namespace_t *record, int64_t now);
void own_events_container(txn_t *txn, own_event_t what, const msg_container_t *record, int64_t now);

/* /tasks/exit or /tasks/delete of an init process, from what is known here. With `exited->unknown`
 * the fields `unknown` and `why` stand beside the exit status, which then is not to be read. */
void own_events_task(txn_t *txn, own_event_t what, const char *ns, const char *id,
                     const char *incarnation, const msg_exited_t *exited, int64_t now);

#endif
