/* Events that are written here. */
#include "workers/metadata/own_events.h"

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
    [OWN_TASK_EXIT] = {"/tasks/exit", "containerd.events.TaskExit"},
    [OWN_TASK_DELETE] = {"/tasks/delete", "containerd.events.TaskDelete"},
};

/* An event's fields while they are packed: the same forms as common/proto_value.h gives those of a
 * shim, so that texts are there even when they are empty, and times are nanoseconds. */
typedef struct fields {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
} fields_t;

static void begin(fields_t *self, size_t count)
{
    msgpack_sbuffer_init(&self->buffer);
    msgpack_packer_init(&self->packer, &self->buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&self->packer, count);
}

static void name(fields_t *self, const char *text)
{
    msgpack_pack_str_with_body(&self->packer, text, strlen(text));
}

static void text_field(fields_t *self, const char *key, const char *value)
{
    name(self, key);
    name(self, value ? value : "");
}

static void labels_field(fields_t *self, const msg_labels_t *labels)
{
    name(self, "labels");
    msgpack_pack_map(&self->packer, labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        name(self, labels->items[i].key);
        name(self, labels->items[i].value);
    }
}

static void append(txn_t *txn, own_event_t what, const char *ns, const char *incarnation,
                   int64_t now, fields_t *fields)
{
    journal_append(txn, &(journal_event_t){.ns = ns,
                                           .topic = names[what].topic,
                                           .type = names[what].type,
                                           .origin = JOURNAL_ORIGIN_SHIMD,
                                           .incarnation = incarnation,
                                           .time = now,
                                           .event = {.data = (uint8_t *)fields->buffer.data,
                                                     .size = fields->buffer.size}});
    msgpack_sbuffer_destroy(&fields->buffer);
}

void own_events_namespace(txn_t *txn, own_event_t what, const msg_namespace_t *record, int64_t now)
{
    bool has_labels = what != OWN_NAMESPACE_DELETE;
    fields_t fields;
    begin(&fields, (size_t)1 + has_labels);
    text_field(&fields, "name", record->name);
    if (has_labels)
        labels_field(&fields, &record->labels);
    append(txn, what, record->name, "", now, &fields);
}

void own_events_container(txn_t *txn, own_event_t what, const msg_container_t *record, int64_t now)
{
    static const size_t counts[] = {
        [OWN_CONTAINER_CREATE] = 3, [OWN_CONTAINER_UPDATE] = 4, [OWN_CONTAINER_DELETE] = 1};
    fields_t fields;
    begin(&fields, counts[what]);
    text_field(&fields, "id", record->id);
    if (what != OWN_CONTAINER_DELETE)
        text_field(&fields, "image", record->image);
    if (what == OWN_CONTAINER_CREATE) {
        name(&fields, "runtime");
        msgpack_pack_map(&fields.packer, 1);
        text_field(&fields, "name", record->runtime);
    }
    if (what == OWN_CONTAINER_UPDATE) {
        labels_field(&fields, &record->labels);
        text_field(&fields, "snapshot_key", NULL);
    }
    append(txn, what, record->ns, "", now, &fields);
}

void own_events_task(txn_t *txn, own_event_t what, const char *ns, const char *id,
                     const char *incarnation, const msg_exited_t *exited, int64_t now)
{
    bool why = exited->unknown && exited->why && exited->why[0];
    fields_t fields;
    begin(&fields, (size_t)5 + exited->unknown + why);
    text_field(&fields, "container_id", id);
    /* containerd: init's is the container's own id in an exit, and empty in a delete. */
    text_field(&fields, "id", what == OWN_TASK_EXIT ? id : "");
    name(&fields, "pid");
    msgpack_pack_uint32(&fields.packer, exited->pid);
    name(&fields, "exit_status");
    msgpack_pack_uint32(&fields.packer, exited->exit_status);
    name(&fields, "exited_at");
    msgpack_pack_int64(&fields.packer, exited->exited_at);
    if (exited->unknown) {
        name(&fields, "unknown");
        msgpack_pack_true(&fields.packer);
    }
    if (why)
        text_field(&fields, "why", exited->why);
    append(txn, what, ns, incarnation, now, &fields);
}
