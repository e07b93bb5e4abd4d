/* Events that are written here. */
#include "workers/metadata/own_events.h"

#include "workers/metadata/event_fields.h"
#include "workers/metadata/journal.h"

#include <string.h>

static const struct {
    const char *topic, *type;
} names[] = {
    [OWN_NAMESPACE_CREATE] = {"/namespaces/create", "containerd.events.NamespaceCreate"},
    [OWN_NAMESPACE_UPDATE] = {"/namespaces/update", "containerd.events.NamespaceUpdate"},
    [OWN_NAMESPACE_DELETE] = {"/namespaces/delete", "containerd.events.NamespaceDelete"},
    [OWN_CONTAINER_CREATE] = {"/containers/create", "containerd.events.ContainerCreate"},
    [OWN_CONTAINER_UPDATE] = {"/containers/update", "containerd.events.ContainerUpdate"},
    [OWN_CONTAINER_DELETE] = {"/containers/delete", "containerd.events.ContainerDelete"},
};

/* Of tasks, with the fields that each has. */
enum { HAS_BUNDLE = 1, HAS_EXEC = 2, HAS_ID = 4, HAS_PID = 8, HAS_EXIT = 16 };
static const struct {
    const char *topic, *type;
    unsigned fields;
} task_names[] = {
    [TASK_EVENT_CREATE] = {"/tasks/create", "containerd.events.TaskCreate", HAS_BUNDLE | HAS_PID},
    [TASK_EVENT_START] = {"/tasks/start", "containerd.events.TaskStart", HAS_PID},
    [TASK_EVENT_EXIT] = {"/tasks/exit", "containerd.events.TaskExit", HAS_ID | HAS_PID | HAS_EXIT},
    [TASK_EVENT_DELETE] = {"/tasks/delete", "containerd.events.TaskDelete",
                           HAS_ID | HAS_PID | HAS_EXIT},
    [TASK_EVENT_EXEC_ADDED] = {"/tasks/exec-added", "containerd.events.TaskExecAdded", HAS_EXEC},
    [TASK_EVENT_EXEC_STARTED] = {"/tasks/exec-started", "containerd.events.TaskExecStarted",
                                 HAS_EXEC | HAS_PID},
    [TASK_EVENT_PAUSED] = {"/tasks/paused", "containerd.events.TaskPaused", 0},
    [TASK_EVENT_RESUMED] = {"/tasks/resumed", "containerd.events.TaskResumed", 0},
    [TASK_EVENT_OOM] = {"/tasks/oom", "containerd.events.TaskOOM", 0},
};

static void labels_field(event_fields_t *self, const msg_labels_t *labels)
{
    event_fields_name(self, "labels");
    msgpack_pack_map(&self->packer, labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        event_fields_name(self, labels->items[i].key);
        event_fields_name(self, labels->items[i].value);
    }
}

/* `id` NULL for an event about no container. */
static void append(txn_t *txn, own_event_t what, const char *ns, const char *id, int64_t now,
                   event_fields_t *fields)
{
    journal_append(txn, &(journal_event_t){.ns = ns,
                                           .topic = names[what].topic,
                                           .type = names[what].type,
                                           .origin = JOURNAL_ORIGIN_SHIMD,
                                           .incarnation = "",
                                           .subject = id,
                                           .time = now,
                                           .event = event_fields_bytes(fields)});
    event_fields_end(fields);
}

void own_events_namespace(txn_t *txn, own_event_t what, const msg_namespace_t *record, int64_t now)
{
    bool has_labels = what != OWN_NAMESPACE_DELETE;
    event_fields_t fields;
    event_fields_begin(&fields, (size_t)1 + has_labels);
    event_fields_text(&fields, "name", record->name);
    if (has_labels)
        labels_field(&fields, &record->labels);
    append(txn, what, record->name, NULL, now, &fields);
}

void own_events_container(txn_t *txn, own_event_t what, const msg_container_t *record, int64_t now)
{
    static const size_t counts[] = {
        [OWN_CONTAINER_CREATE] = 3, [OWN_CONTAINER_UPDATE] = 4, [OWN_CONTAINER_DELETE] = 1};
    event_fields_t fields;
    event_fields_begin(&fields, counts[what]);
    event_fields_text(&fields, "id", record->id);
    if (what != OWN_CONTAINER_DELETE)
        event_fields_text(&fields, "image", record->image);
    if (what == OWN_CONTAINER_CREATE) {
        event_fields_name(&fields, "runtime");
        msgpack_pack_map(&fields.packer, 1);
        event_fields_text(&fields, "name", record->runtime);
    }
    if (what == OWN_CONTAINER_UPDATE) {
        labels_field(&fields, &record->labels);
        event_fields_text(&fields, "snapshot_key", NULL);
    }
    append(txn, what, record->ns, record->id, now, &fields);
}

static void exit_fields(event_fields_t *self, const msg_exited_t *exited)
{
    event_fields_number(self, "exit_status", exited->exit_status);
    event_fields_name(self, "exited_at");
    msgpack_pack_int64(&self->packer, exited->exited_at);
    if (exited->unknown) {
        event_fields_name(self, "unknown");
        msgpack_pack_true(&self->packer);
        event_fields_text(self, "why", exited->why);
    }
}

static size_t count_fields(unsigned has, const msg_exited_t *exited)
{
    size_t count = 1;
    count += has & HAS_BUNDLE ? 2 : 0;
    count += has & HAS_EXEC ? 1 : 0;
    count += has & HAS_ID ? 1 : 0;
    count += has & HAS_PID ? 1 : 0;
    count += has & HAS_EXIT ? 2 : 0;
    count += (has & HAS_EXIT) && exited->unknown ? 2 : 0;
    return count;
}

void own_events_task(txn_t *txn, const own_task_event_t *event, int64_t now)
{
    unsigned has = task_names[event->kind].fields;
    event_fields_t fields;
    event_fields_begin(&fields, count_fields(has, &event->exited));
    event_fields_text(&fields, "container_id", event->id);
    if (has & HAS_BUNDLE) {
        event_fields_text(&fields, "bundle", "");
        event_fields_text(&fields, "checkpoint", "");
    }
    if (has & HAS_EXEC)
        event_fields_text(&fields, "exec_id", event->exec_id);
    /* containerd: init's is the container's own id in an exit, and empty in a delete. */
    if (has & HAS_ID)
        event_fields_text(&fields, "id",
                          event->kind == TASK_EVENT_EXIT && !event->exec_id[0] ? event->id
                                                                               : event->exec_id);
    if (has & HAS_PID)
        event_fields_number(&fields, "pid", event->pid);
    if (has & HAS_EXIT)
        exit_fields(&fields, &event->exited);
    journal_append(txn, &(journal_event_t){.ns = event->ns,
                                           .topic = task_names[event->kind].topic,
                                           .type = task_names[event->kind].type,
                                           .origin = JOURNAL_ORIGIN_SHIMD,
                                           .incarnation = event->incarnation,
                                           .subject = event->id,
                                           .newest = event->newest,
                                           .time = now,
                                           .evidence = event->evidence,
                                           .event = event_fields_bytes(&fields)});
    event_fields_end(&fields);
}
