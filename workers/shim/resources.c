/* task.pids, stats, update and checkpoint. */
#include "common/log.h"
#include "common/proto_value.h"
#include "workers/shim/call.h"
#include "workers/shim/orphan.h"
#include "workers/shim/text.h"

#include "common/proto/runc_options.pb-c.h"
#include "common/proto/task.pb-c.h"

#define RESOURCES_TYPE  "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
#define CHECKPOINT_TYPE "containerd.runc.v1.CheckpointOptions"

/* pids -------------------------------------------------------------------------------------------
 */

static const char *exec_of(const Google__Protobuf__Any *info, msgpack_zone *zone)
{
    if (!info || info->value.len == 0)
        return NULL;
    Containerd__Runc__V1__ProcessDetails *details =
        containerd__runc__v1__process_details__unpack(NULL, info->value.len, info->value.data);
    if (!details)
        return NULL;
    size_t size = strlen(details->exec_id) + 1;
    char *copy = msgpack_zone_malloc(zone, size);
    if (!copy)
        abort();
    memcpy(copy, details->exec_id, size);
    containerd__runc__v1__process_details__free_unpacked(details, NULL);
    return copy;
}

static void finish_pids(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    (void)process;
    Containerd__Task__V2__PidsResponse *answer =
        containerd__task__v2__pids_response__unpack(NULL, size, payload);
    if (!answer) {
        manager_fail(call->request, STATUS_INTERNAL, "Pids: undecodable answer");
        return;
    }
    msg_pid_entry_t *entries = zmalloc((answer->n_processes + 1) * sizeof *entries);
    for (size_t i = 0; i < answer->n_processes; i++)
        entries[i] = (msg_pid_entry_t){
            .pid = answer->processes[i]->pid,
            .exec_id = exec_of(answer->processes[i]->info, request_zone(call->request))};
    request_answer(call->request, &(msg_pid_list_t){.processes = {.items = entries,
                                                                  .count = answer->n_processes}});
    free(entries);
    containerd__task__v2__pids_response__free_unpacked(answer, NULL);
}

HANDLER(task_pids)
{
    process_t *init = manager_find(self, request, ((const msg_task_pids_t *)ask)->id, NULL);
    if (!init)
        return;
    if (init->task->phase == TASK_ORPHANED) {
        orphan_pids(request, init->task);
        return;
    }
    Containerd__Task__V2__PidsRequest message = CONTAINERD__TASK__V2__PIDS_REQUEST__INIT;
    message.id = init->task->id;
    call_shim(self, request, init, "Pids", &message.base, finish_pids);
}

/* update -----------------------------------------------------------------------------------------
 */

HANDLER(task_update)
{
    const msg_task_update_t *update = ask;
    process_t *init = manager_find(self, request, update->id, NULL);
    json_t *object =
        init ? text_json_object(request, &update->resources, "task.update: resources") : NULL;
    if (!object)
        return;
    json_decref(object);
    size_t count = update->annotations.count;
    Containerd__Task__V2__UpdateTaskRequest__AnnotationsEntry *entries =
        zmalloc((count + 1) * sizeof *entries);
    Containerd__Task__V2__UpdateTaskRequest__AnnotationsEntry **list =
        zmalloc((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        containerd__task__v2__update_task_request__annotations_entry__init(&entries[i]);
        entries[i].key = (char *)update->annotations.items[i].key;
        entries[i].value = (char *)update->annotations.items[i].value;
        list[i] = &entries[i];
    }
    Google__Protobuf__Any resources = GOOGLE__PROTOBUF__ANY__INIT;
    resources.type_url = (char *)RESOURCES_TYPE;
    resources.value = (ProtobufCBinaryData){.len = update->resources.size,
                                            .data = (uint8_t *)update->resources.data};
    Containerd__Task__V2__UpdateTaskRequest message =
        CONTAINERD__TASK__V2__UPDATE_TASK_REQUEST__INIT;
    message.id = init->task->id;
    message.resources = &resources;
    message.annotations = list;
    message.n_annotations = count;
    call_shim(self, request, init, "Update", &message.base, call_finish_empty);
    free(list);
    free(entries);
}

/* stats ------------------------------------------------------------------------------------------
 */

static void finish_stats(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    (void)process;
    Containerd__Task__V2__StatsResponse *answer =
        containerd__task__v2__stats_response__unpack(NULL, size, payload);
    if (!answer || !answer->stats) {
        manager_fail(call->request, STATUS_INTERNAL, "Stats: undecodable answer");
        containerd__task__v2__stats_response__free_unpacked(answer, NULL);
        return;
    }
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    status_t st = {.code = STATUS_OK};
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    const Google__Protobuf__Any *stats = answer->stats;
    msg_task_metrics_t metrics = {.time = util_now_ns(), .type = stats->type_url};
    proto_value_pack(&packer, stats->type_url, stats->value.data, stats->value.len, &st);
    if (st.code == STATUS_OK)
        metrics.stats = (msg_bytes_t){.data = (const uint8_t *)buffer.data, .size = buffer.size};
    else if (st.code == STATUS_NOT_FOUND)
        metrics.raw = (msg_bytes_t){.data = stats->value.data, .size = stats->value.len};
    if (st.code == STATUS_OK || st.code == STATUS_NOT_FOUND)
        request_answer(call->request, &metrics);
    else
        manager_fail(call->request, STATUS_INTERNAL, "Stats: %s", st.text);
    msgpack_sbuffer_destroy(&buffer);
    containerd__task__v2__stats_response__free_unpacked(answer, NULL);
}

HANDLER(task_stats)
{
    process_t *init = manager_find(self, request, ((const msg_task_stats_t *)ask)->id, NULL);
    if (!init)
        return;
    Containerd__Task__V2__StatsRequest message = CONTAINERD__TASK__V2__STATS_REQUEST__INIT;
    message.id = init->task->id;
    call_shim(self, request, init, "Stats", &message.base, finish_stats);
}

/* checkpoint -------------------------------------------------------------------------------------
 */

/* The images are written whether or not the journal can be. */
static void on_journalled(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    if (st->code)
        log_error("task.checkpoint: event: %s", st->text);
    request_answer(arg, NULL);
}

static void finish_checkpoint(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    const msg_task_checkpoint_t *checkpoint = request_ask(call->request);
    (void)process;
    (void)payload;
    (void)size;
    const msg_incarnation_checkpoint_t ask = {
        .id = call->ref.id, .incarnation = call->ref.incarnation, .path = checkpoint->path};
    link_ask(call->ref.manager->link, MSG_incarnation_checkpoint, &ask, call->ref.ns, 0, NULL,
             on_journalled, call->request);
}

HANDLER(task_checkpoint)
{
    const msg_task_checkpoint_t *checkpoint = ask;
    process_t *init = manager_find(self, request, checkpoint->id, NULL);
    if (!init)
        return;
    if (manager_is_again(init->task, request)) {
        manager_fail(request, STATUS_UNAVAILABLE,
                     "task %s: this checkpoint was begun before, outcome unknown", checkpoint->id);
        return;
    }
    if (!call_check_state(request, init, PROCESS_RUNNING, "checkpoint"))
        return;
    Containerd__Runc__V1__CheckpointOptions options =
        CONTAINERD__RUNC__V1__CHECKPOINT_OPTIONS__INIT;
    options.exit = checkpoint->exit;
    options.work_path = text_or_empty(checkpoint->work_path);
    uint8_t packed[LIMIT_PATH + 64];
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)CHECKPOINT_TYPE;
    any.value.len = containerd__runc__v1__checkpoint_options__pack(&options, packed);
    any.value.data = packed;
    Containerd__Task__V2__CheckpointTaskRequest message =
        CONTAINERD__TASK__V2__CHECKPOINT_TASK_REQUEST__INIT;
    message.id = init->task->id;
    message.path = (char *)checkpoint->path;
    message.options = &any;
    call_shim(self, request, init, "Checkpoint", &message.base, finish_checkpoint);
}
