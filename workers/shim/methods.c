/* The methods that are one call to the shim each. What the real shims crash on, or answer with a
 * code that says nothing, is refused here from what is known of the task. */
#include "common/log.h"
#include "common/proto_value.h"
#include "workers/shim/manager.h"

#include "common/proto/runc_options.pb-c.h"
#include "common/proto/task.pb-c.h"

#include <jansson.h>

#define PROCESS_TYPE    "types.containerd.io/opencontainers/runtime-spec/1/Process"
#define RESOURCES_TYPE  "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
#define CHECKPOINT_TYPE "containerd.runc.v1.CheckpointOptions"

/* A call under way; the task is looked up again when its answer comes. */
typedef struct call {
    manager_t *manager;
    request_t *request;
    const void *ask; /* lives as long as the request */
    char ns[77], id[77], exec_id[77];
    stdio_hold_t hold; /* of a new exec; released unless `finish` takes it */
    void (*finish)(struct call *call, process_t *process, const uint8_t *payload, size_t size);
} call_t;

static void on_reply(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    AUTO_FREE call_t *call = arg;
    if (st->code) {
        stdio_release(&call->hold);
        request_fail(call->request, st);
        return;
    }
    task_t *task = task_table_find(call->manager->tasks, call->ns, call->id);
    if (task) {
        task->heard_ms = util_now_ms();
        task->unresponsive = false;
    }
    call->finish(call, task ? task_process(task, call->exec_id) : NULL, payload, size);
    stdio_release(&call->hold);
}

typedef void call_finish_t(call_t *, process_t *, const uint8_t *, size_t);

static void send_holding(manager_t *self, request_t *request, const void *ask, process_t *process,
                         const char *method, const ProtobufCMessage *message, call_finish_t *finish,
                         stdio_hold_t hold)
{
    call_t *call = zmalloc(sizeof *call);
    call->manager = self;
    call->request = request;
    call->ask = ask;
    call->finish = finish;
    call->hold = hold;
    memcpy(call->ns, process->task->ns, sizeof call->ns);
    memcpy(call->id, process->task->id, sizeof call->id);
    memcpy(call->exec_id, process->exec_id, sizeof call->exec_id);
    shim_call(process->task->shim, method, message, CALL_TIMEOUT_MS, call->ns, on_reply, call);
}

static void send_call(manager_t *self, request_t *request, const void *ask, process_t *process,
                      const char *method, const ProtobufCMessage *message, call_finish_t *finish)
{
    send_holding(self, request, ask, process, method, message, finish, STDIO_HOLD_NONE);
}

static void finish_empty(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    (void)process;
    (void)payload;
    (void)size;
    request_answer(call->request, NULL);
}

static bool in_state(request_t *request, const process_t *process, process_state_t wanted,
                     const char *verb)
{
    if (process->state == wanted)
        return true;
    manager_fail(request, STATUS_FAILED_PRECONDITION, "cannot %s %s: it is %s, not %s", verb,
                 process->exec_id[0] ? process->exec_id : process->task->id,
                 process_state_name(process->state), process_state_name(wanted));
    return false;
}

/* start ------------------------------------------------------------------------------------------
 */

static void finish_start(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    Containerd__Task__V2__StartResponse *answer =
        containerd__task__v2__start_response__unpack(NULL, size, payload);
    uint32_t pid = answer ? answer->pid : 0;
    containerd__task__v2__start_response__free_unpacked(answer, NULL);
    if (process) {
        process->pid = pid;
        stdio_release(&process->hold);
        if (process->state == PROCESS_CREATED)
            process->state = PROCESS_RUNNING;
        exits_wait(call->manager, process);
    }
    request_answer(call->request, &(msg_started_t){.pid = pid});
}

HANDLER(task_start)
{
    const msg_task_start_t *start = ask;
    process_t *process = manager_find(self, request, ask, start->id, start->exec_id);
    if (!process)
        return;
    /* A process starts once: that it runs or ran is this request's doing. */
    if (request_is_redelivered(request) && process->state != PROCESS_CREATED) {
        request_answer(request, &(msg_started_t){.pid = process->pid});
        return;
    }
    if (!in_state(request, process, PROCESS_CREATED, "start"))
        return;
    Containerd__Task__V2__StartRequest message = CONTAINERD__TASK__V2__START_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    send_call(self, request, ask, process, "Start", &message.base, finish_start);
}

/* get, list --------------------------------------------------------------------------------------
 */

HANDLER(task_get)
{
    const msg_task_get_t *get = ask;
    process_t *process = manager_find(self, request, ask, get->id, get->exec_id);
    msg_process_t picture;
    if (!process)
        return;
    process_describe(process, &picture);
    request_answer(request, &picture);
}

static int compare_pictures(const void *a, const void *b)
{
    const msg_process_t *left = a, *right = b;
    int order = strcmp(left->ns, right->ns);
    return order ? order : strcmp(left->id, right->id);
}

HANDLER(task_list)
{
    manager_t *manager = self;
    const msg_task_list_t *list = ask;
    const char *ns = list->all ? NULL : request_require_ns(request);
    if (!list->all && !ns)
        return;
    size_t count = 0;
    msg_process_t *pictures = zmalloc((task_table_size(manager->tasks) + 1) * sizeof *pictures);
    for (task_t *t = task_table_first(manager->tasks); t; t = task_table_next(manager->tasks))
        if (t->phase != TASK_CREATING && (!ns || !strcmp(t->ns, ns)))
            process_describe(&t->init, &pictures[count++]);
    qsort(pictures, count, sizeof *pictures, compare_pictures);
    request_answer(request, &(msg_processes_t){.tasks = {.items = pictures, .count = count}});
    free(pictures);
}

/* kill -------------------------------------------------------------------------------------------
 */

#define SIGNAL_KILL 9

HANDLER(task_kill)
{
    const msg_task_kill_t *kill = ask;
    process_t *process = manager_find(self, request, ask, kill->id, kill->exec_id);
    if (!process)
        return;
    if (request_is_redelivered(request) && kill->signal != SIGNAL_KILL) {
        manager_fail(request, STATUS_UNAVAILABLE,
                     "task.kill: the worker died, whether signal %u was sent is not known",
                     kill->signal);
        return;
    }
    if (process->has_exited) {
        manager_fail(request, STATUS_NOT_FOUND, "process already finished: not found");
        return;
    }
    Containerd__Task__V2__KillRequest message = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.signal = kill->signal;
    message.all = kill->all;
    send_call(self, request, ask, process, "Kill", &message.base, finish_empty);
}

/* exec -------------------------------------------------------------------------------------------
 */

static void finish_exec(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    const msg_task_exec_t *exec = call->ask;
    task_t *task = task_table_find(call->manager->tasks, call->ns, call->id);
    (void)payload;
    (void)size;
    (void)process;
    if (task && !task_process(task, exec->exec_id)) {
        process_t *added = task_add_exec(task, exec->exec_id);
        added->state = PROCESS_CREATED;
        added->hold = call->hold; /* the shim opens them when the exec is started */
        call->hold = STDIO_HOLD_NONE;
        process_set_stdio(added, exec->stdin, exec->stdout, exec->stderr, exec->terminal);
    }
    request_answer(call->request, NULL);
}

/* A JSON object, or the request is failed. */
static json_t *object_of(request_t *request, const msg_bytes_t *bytes, const char *what)
{
    json_error_t error;
    json_t *object =
        json_loadb((const char *)bytes->data, bytes->size, JSON_DECODE_INT_AS_REAL, &error);
    if (json_is_object(object))
        return object;
    manager_fail(request, STATUS_INVALID_ARGUMENT, "%s is not a JSON object: %s", what,
                 object ? "another JSON value" : error.text);
    json_decref(object);
    return NULL;
}

static bool exec_is_sound(request_t *request, const msg_task_exec_t *exec, stdio_hold_t *hold)
{
    status_t st;
    json_t *spec = object_of(request, &exec->spec, "task.exec: spec");
    if (!spec)
        return false;
    bool terminal = json_is_true(json_object_get(spec, "terminal"));
    size_t words = json_array_size(json_object_get(spec, "args"));
    json_decref(spec);
    if (words == 0)
        manager_fail(request, STATUS_INVALID_ARGUMENT, "task.exec: spec has no args");
    else if (terminal != exec->terminal)
        manager_fail(request, STATUS_INVALID_ARGUMENT,
                     "task.exec: terminal is not the same in the spec and here");
    else if (stdio_check(exec->stdin, exec->stdout, exec->stderr, exec->terminal, hold, &st))
        request_fail(request, &st);
    else
        return true;
    return false;
}

static char *text_or_empty(const char *text)
{
    return (char *)(text ? text : "");
}

HANDLER(task_exec)
{
    const msg_task_exec_t *exec = ask;
    process_t *init = manager_find(self, request, ask, exec->id, NULL);
    if (!init)
        return;
    if (task_process(init->task, exec->exec_id)) {
        if (request_is_redelivered(request))
            request_answer(request, NULL);
        else
            manager_fail(request, STATUS_ALREADY_EXISTS, "exec %s: already exists", exec->exec_id);
        return;
    }
    stdio_hold_t hold;
    if (!in_state(request, init, PROCESS_RUNNING, "exec in") ||
        !exec_is_sound(request, exec, &hold))
        return;
    Google__Protobuf__Any spec = GOOGLE__PROTOBUF__ANY__INIT;
    spec.type_url = (char *)PROCESS_TYPE;
    spec.value = (ProtobufCBinaryData){.len = exec->spec.size, .data = (uint8_t *)exec->spec.data};
    Containerd__Task__V2__ExecProcessRequest message =
        CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
    message.id = init->task->id;
    message.exec_id = (char *)exec->exec_id;
    message.terminal = exec->terminal;
    message.stdin = text_or_empty(exec->stdin);
    message.stdout = text_or_empty(exec->stdout);
    message.stderr = text_or_empty(exec->stderr);
    message.spec = &spec;
    send_holding(self, request, ask, init, "Exec", &message.base, finish_exec, hold);
}

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
    process_t *init = manager_find(self, request, ask, ((const msg_task_pids_t *)ask)->id, NULL);
    if (!init)
        return;
    Containerd__Task__V2__PidsRequest message = CONTAINERD__TASK__V2__PIDS_REQUEST__INIT;
    message.id = init->task->id;
    send_call(self, request, ask, init, "Pids", &message.base, finish_pids);
}

/* pause, resume ----------------------------------------------------------------------------------
 */

static void finish_pause(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    if (process && process->state == PROCESS_RUNNING)
        process->state = PROCESS_PAUSED;
    finish_empty(call, process, payload, size);
}

static void finish_resume(call_t *call, process_t *process, const uint8_t *payload, size_t size)
{
    if (process && process->state == PROCESS_PAUSED)
        process->state = PROCESS_RUNNING;
    finish_empty(call, process, payload, size);
}

HANDLER(task_pause)
{
    process_t *init = manager_find(self, request, ask, ((const msg_task_pause_t *)ask)->id, NULL);
    if (!init)
        return;
    if (request_is_redelivered(request) && init->state == PROCESS_PAUSED) {
        request_answer(request, NULL);
        return;
    }
    if (!in_state(request, init, PROCESS_RUNNING, "pause"))
        return;
    Containerd__Task__V2__PauseRequest message = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
    message.id = init->task->id;
    send_call(self, request, ask, init, "Pause", &message.base, finish_pause);
}

HANDLER(task_resume)
{
    process_t *init = manager_find(self, request, ask, ((const msg_task_resume_t *)ask)->id, NULL);
    if (!init)
        return;
    if (request_is_redelivered(request) && init->state == PROCESS_RUNNING) {
        request_answer(request, NULL);
        return;
    }
    if (!in_state(request, init, PROCESS_PAUSED, "resume"))
        return;
    Containerd__Task__V2__ResumeRequest message = CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;
    message.id = init->task->id;
    send_call(self, request, ask, init, "Resume", &message.base, finish_resume);
}

/* update -----------------------------------------------------------------------------------------
 */

HANDLER(task_update)
{
    const msg_task_update_t *update = ask;
    process_t *init = manager_find(self, request, ask, update->id, NULL);
    json_t *object = init ? object_of(request, &update->resources, "task.update: resources") : NULL;
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
    send_call(self, request, ask, init, "Update", &message.base, finish_empty);
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
    status_t st;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    const Google__Protobuf__Any *stats = answer->stats;
    msg_task_metrics_t metrics = {.time = util_now_ns(), .type = stats->type_url};
    if (proto_value_pack(&packer, stats->type_url, stats->value.data, stats->value.len, &st))
        metrics.raw = (msg_bytes_t){.data = stats->value.data, .size = stats->value.len};
    else
        metrics.stats = (msg_bytes_t){.data = (const uint8_t *)buffer.data, .size = buffer.size};
    request_answer(call->request, &metrics);
    msgpack_sbuffer_destroy(&buffer);
    containerd__task__v2__stats_response__free_unpacked(answer, NULL);
}

HANDLER(task_stats)
{
    process_t *init = manager_find(self, request, ask, ((const msg_task_stats_t *)ask)->id, NULL);
    if (!init)
        return;
    Containerd__Task__V2__StatsRequest message = CONTAINERD__TASK__V2__STATS_REQUEST__INIT;
    message.id = init->task->id;
    send_call(self, request, ask, init, "Stats", &message.base, finish_stats);
}

/* checkpoint -------------------------------------------------------------------------------------
 */

HANDLER(task_checkpoint)
{
    const msg_task_checkpoint_t *checkpoint = ask;
    process_t *init = manager_find(self, request, ask, checkpoint->id, NULL);
    if (!init || !in_state(request, init, PROCESS_RUNNING, "checkpoint"))
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
    send_call(self, request, ask, init, "Checkpoint", &message.base, finish_empty);
}

/* terminal and input -----------------------------------------------------------------------------
 */

HANDLER(task_resize)
{
    const msg_task_resize_t *resize = ask;
    process_t *process = manager_find(self, request, ask, resize->id, resize->exec_id);
    if (!process)
        return;
    Containerd__Task__V2__ResizePtyRequest message = CONTAINERD__TASK__V2__RESIZE_PTY_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.width = resize->width;
    message.height = resize->height;
    send_call(self, request, ask, process, "ResizePty", &message.base, finish_empty);
}

HANDLER(task_close_io)
{
    const msg_task_close_io_t *close_io = ask;
    process_t *process = manager_find(self, request, ask, close_io->id, close_io->exec_id);
    if (!process)
        return;
    Containerd__Task__V2__CloseIORequest message = CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.stdin = close_io->stdin;
    send_call(self, request, ask, process, "CloseIO", &message.base, finish_empty);
}
