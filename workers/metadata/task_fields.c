/* What a task's event tells. */
#include "workers/metadata/task_fields.h"

#include "common/util.h"
#include "workers/metadata/journal.h"

#include <stdio.h>
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
static void read_identifier(const msgpack_object *map, const char *name,
                            char ret[TASK_FIELDS_ID_SIZE])
{
    const msgpack_object *found = name ? journal_field(map, name) : NULL;
    ret[0] = '\0';
    if (!found || found->type != MSGPACK_OBJECT_STR || found->via.str.size >= TASK_FIELDS_ID_SIZE ||
        !msg_is_identifier(found->via.str.ptr, found->via.str.size))
        return;
    memcpy(ret, found->via.str.ptr, found->via.str.size);
    ret[found->via.str.size] = '\0';
}

static uint64_t read_number(const msgpack_object *map, const char *name)
{
    const msgpack_object *found = journal_field(map, name);
    return found && found->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? found->via.u64 : 0;
}

void task_fields_read(task_fields_t *self, const msgpack_object *map)
{
    const char *exec_key = self->kind < ARRAY_SIZE(topics) ? topics[self->kind].exec_key : NULL;
    read_identifier(map, "container_id", self->id);
    read_identifier(map, exec_key, self->exec_id);
    if (!strcmp(self->exec_id, self->id))
        self->exec_id[0] = '\0';
    self->pid = (uint32_t)read_number(map, "pid");
    self->exit_status = (uint32_t)read_number(map, "exit_status");
    self->exited_at = (int64_t)read_number(map, "exited_at");
}
