/* What a task's event tells. */
#include "workers/metadata/task_fields.h"

#include "common/message.h"
#include "common/util.h"

#include <string.h>

static const struct {
    const char *topic;
    const char *exec_key; /* field that names the process; the container's own id is init */
} topics[] = {
    [TASK_EVENT_CREATE] = {"/tasks/create", NULL},
    [TASK_EVENT_START] = {"/tasks/start", NULL},
    [TASK_EVENT_EXIT] = {"/tasks/exit", "id"},
    [TASK_EVENT_DELETE] = {"/tasks/delete", "id"},
    [TASK_EVENT_EXEC_ADDED] = {"/tasks/exec-added", "exec_id"},
    [TASK_EVENT_EXEC_STARTED] = {"/tasks/exec-started", "exec_id"},
    [TASK_EVENT_PAUSED] = {"/tasks/paused", NULL},
    [TASK_EVENT_RESUMED] = {"/tasks/resumed", NULL},
    [TASK_EVENT_OOM] = {"/tasks/oom", NULL},
};

task_fields_t task_fields_of(const char *topic)
{
    size_t kind = 0;
    while (kind < ARRAY_SIZE(topics) && strcmp(topics[kind].topic, topic))
        kind++;
    return (task_fields_t){.kind =
                               kind < ARRAY_SIZE(topics) ? (task_event_t)kind : TASK_EVENT_OTHER};
}

/* Leaves `ret` empty unless the field is an identifier. */
static void read_identifier(const msgpack_object *value, char ret[TASK_FIELDS_ID_SIZE])
{
    ret[0] = '\0';
    if (value->type != MSGPACK_OBJECT_STR || value->via.str.size >= TASK_FIELDS_ID_SIZE ||
        !msg_is_identifier(value->via.str.ptr, value->via.str.size))
        return;
    memcpy(ret, value->via.str.ptr, value->via.str.size);
    ret[value->via.str.size] = '\0';
}

static uint64_t read_number(const msgpack_object *value)
{
    return value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 : 0;
}

static bool is_named(const msgpack_object *key, const char *name)
{
    size_t size = strlen(name);
    return key->via.str.size == size && !memcmp(key->via.str.ptr, name, size);
}

static void read_field(task_fields_t *self, const msgpack_object *key, const msgpack_object *value,
                       const char *exec_key)
{
    if (is_named(key, "container_id"))
        read_identifier(value, self->id);
    else if (is_named(key, "pid"))
        self->pid = (uint32_t)read_number(value);
    else if (is_named(key, "exit_status"))
        self->exit_status = (uint32_t)read_number(value);
    else if (is_named(key, "exited_at"))
        self->exited_at = (int64_t)read_number(value);
    else if (exec_key && is_named(key, exec_key))
        read_identifier(value, self->exec_id);
}

void task_fields_read(task_fields_t *self, const msgpack_object *map)
{
    const char *exec_key = self->kind < ARRAY_SIZE(topics) ? topics[self->kind].exec_key : NULL;
    if (map->type != MSGPACK_OBJECT_MAP)
        return;
    for (uint32_t i = map->via.map.size; i-- > 0;) { /* of equal keys the first one counts */
        const msgpack_object_kv *entry = &map->via.map.ptr[i];
        if (entry->key.type == MSGPACK_OBJECT_STR)
            read_field(self, &entry->key, &entry->val, exec_key);
    }
    if (!strcmp(self->exec_id, self->id))
        self->exec_id[0] = '\0';
}
