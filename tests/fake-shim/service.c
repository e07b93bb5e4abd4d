/* The Task service: which method a call means, and what becomes of it. Refusals are in the words
 * and codes of runc's shim: most are "unknown" (2). */
#include "tests/fake-shim/service.h"

#include "common/proto/task.pb-c.h"
#include "common/util.h"
#include "tests/fake-shim/container.h"
#include "tests/fake-shim/faults.h"
#include "tests/fake-shim/service_internal.h"

#include <czmq.h>
#include <stdio.h>
#include <unistd.h>

#define GO_PANIC 2 /* what a Go program exits with */

void service_reply(answer_t *answer, const ProtobufCMessage *message)
{
    answer->size = protobuf_c_message_get_packed_size(message);
    answer->payload = zmalloc(answer->size + 1);
    protobuf_c_message_pack(message, answer->payload);
}

_Noreturn void service_crash(const char *why)
{
    fprintf(stderr, "panic: runtime error: %s\n", why);
    _exit(GO_PANIC);
}

#define METHOD(name, message, handler)                                                             \
    {                                                                                              \
        name, &containerd__task__v2__##message##__descriptor, handler                              \
    }

static const struct method {
    const char *name;
    const ProtobufCMessageDescriptor *request;
    status_code_t (*handler)(const void *message, answer_t *answer, status_t *st);
} methods[] = {
    METHOD("State", state_request, service_on_state),
    METHOD("Create", create_task_request, service_on_create),
    METHOD("Start", start_request, service_on_start),
    METHOD("Delete", delete_request, service_on_delete),
    METHOD("Pids", pids_request, service_on_pids),
    METHOD("Pause", pause_request, service_on_pause),
    METHOD("Resume", resume_request, service_on_resume),
    METHOD("Checkpoint", checkpoint_task_request, service_on_checkpoint),
    METHOD("Kill", kill_request, service_on_kill),
    METHOD("Exec", exec_process_request, service_on_exec),
    METHOD("ResizePty", resize_pty_request, service_on_resize),
    METHOD("CloseIO", close_iorequest, service_on_close_io),
    METHOD("Update", update_task_request, service_on_update),
    METHOD("Wait", wait_request, service_on_wait),
    METHOD("Stats", stats_request, service_on_stats),
    METHOD("Connect", connect_request, service_on_connect),
    METHOD("Shutdown", shutdown_request, service_on_shutdown),
};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

/* A container's wishes count from its Create on, so they are read just before it. */
static void load_faults(const Containerd__Task__V2__CreateTaskRequest *ask)
{
    status_t st;
    AUTO(spec)
    spec = spec_load(ask->bundle, &st);
    if (spec && faults_load(ask->id, spec, &st))
        fprintf(stderr, "%s\n", st.text);
}

status_code_t service_id(const char *name, const uint8_t *payload, size_t size, char id[128],
                         status_t *st)
{
    const struct method *method = find_method(name);
    if (!method)
        return status_set(st, STATUS_UNIMPLEMENTED, "method %s", name);
    ProtobufCMessage *message = protobuf_c_message_unpack(method->request, NULL, size, payload);
    if (!message)
        return status_set(st, STATUS_INTERNAL, "cannot decode the request of %s", name);
    /* Field 1 of all of them is the container's id. */
    const uint8_t *at = (const uint8_t *)message + method->request->fields[0].offset;
    snprintf(id, 128, "%s", *(char *const *)(const void *)at);
    if (method->request == &containerd__task__v2__create_task_request__descriptor)
        load_faults((const Containerd__Task__V2__CreateTaskRequest *)message);
    protobuf_c_message_free_unpacked(message, NULL);
    return STATUS_OK;
}

void service_held_up(const char *method, const char *id)
{
    status_t st;
    containers_lock();
    container_t *container = containers_find(id, &st);
    if (container && strcmp(method, "Pause") == 0)
        container->is_pausing = true;
    containers_unlock();
}

void service_call(const char *name, const uint8_t *payload, size_t size, answer_t *answer)
{
    const struct method *method = find_method(name);
    ProtobufCMessage *message = protobuf_c_message_unpack(method->request, NULL, size, payload);
    status_clear(&answer->st);
    containers_lock();
    answer->st.code = method->handler(message, answer, &answer->st);
    containers_unlock();
    protobuf_c_message_free_unpacked(message, NULL);
}
