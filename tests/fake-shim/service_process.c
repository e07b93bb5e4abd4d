/* The Task service's methods about processes: a container's first one, and execs. */
#include "common/proto/events.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "tests/fake-shim/container.h"
#include "tests/fake-shim/events.h"
#include "tests/fake-shim/service_internal.h"

#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>

status_code_t service_on_start(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__StartRequest *ask = message;
    Containerd__Task__V2__StartResponse response = CONTAINERD__TASK__V2__START_RESPONSE__INIT;
    process_t *process = process_find(ask->id, ask->exec_id, st);
    if (!process || process_start(process, st))
        return st->code;
    response.pid = (uint32_t)process->pid;
    if (*ask->exec_id) {
        Containerd__Events__TaskExecStarted event = CONTAINERD__EVENTS__TASK_EXEC_STARTED__INIT;
        event.container_id = ask->id;
        event.exec_id = ask->exec_id;
        event.pid = response.pid;
        events_publish("/tasks/exec-started", &event.base);
    } else {
        Containerd__Events__TaskStart event = CONTAINERD__EVENTS__TASK_START__INIT;
        event.container_id = ask->id;
        event.pid = response.pid;
        events_publish("/tasks/start", &event.base);
    }
    service_reply(answer, &response.base);
    return STATUS_OK;
}

status_code_t service_on_exec(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__ExecProcessRequest *ask = message;
    (void)answer;
    container_t *container = containers_find(ask->id, st);
    if (!container)
        return st->code;
    if (!ask->spec)
        service_crash("invalid memory address or nil pointer dereference");
    if (!container_add_exec(container, ask, st))
        return st->code;
    Containerd__Events__TaskExecAdded event = CONTAINERD__EVENTS__TASK_EXEC_ADDED__INIT;
    event.container_id = ask->id;
    event.exec_id = ask->exec_id;
    events_publish("/tasks/exec-added", &event.base);
    return STATUS_OK;
}

static Containerd__Task__V2__Status status_of(const process_t *process)
{
    if (process->state == PROCESS_STOPPED)
        return CONTAINERD__TASK__V2__STATUS__STOPPED;
    if (process->state == PROCESS_CREATED)
        return CONTAINERD__TASK__V2__STATUS__CREATED;
    if (process->container->is_pausing)
        return CONTAINERD__TASK__V2__STATUS__PAUSING;
    return process->container->is_paused ? CONTAINERD__TASK__V2__STATUS__PAUSED
                                         : CONTAINERD__TASK__V2__STATUS__RUNNING;
}

status_code_t service_on_state(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__StateRequest *ask = message;
    const process_t *process = process_find(ask->id, ask->exec_id, st);
    if (!process)
        return st->code;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    bool is_over = process->state == PROCESS_STOPPED;
    events_time(is_over ? process->exited_ns : 0, &time.seconds, &time.nanos);
    Containerd__Task__V2__StateResponse response = CONTAINERD__TASK__V2__STATE_RESPONSE__INIT;
    response.id = *ask->exec_id ? process->exec_id : process->container->id;
    response.bundle = process->container->bundle;
    response.pid = (uint32_t)process->pid;
    response.status = status_of(process);
    response.stdin = process->in;
    response.stdout = process->out;
    response.stderr = process->err;
    response.terminal = process->is_terminal;
    response.exit_status = is_over ? process->exit_status : 0;
    response.exited_at = &time;
    service_reply(answer, &response.base);
    return STATUS_OK;
}

status_code_t service_on_wait(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__WaitRequest *ask = message;
    process_t *process = process_find(ask->id, ask->exec_id, st);
    if (!process)
        return st->code;
    process_wait(process);
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    events_time(process->exited_ns, &time.seconds, &time.nanos);
    Containerd__Task__V2__WaitResponse response = CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;
    response.exit_status = process->exit_status;
    response.exited_at = &time;
    service_reply(answer, &response.base);
    process_release(process);
    return STATUS_OK;
}

static void publish_delete(const char *id, const Containerd__Task__V2__DeleteResponse *response)
{
    Containerd__Events__TaskDelete event = CONTAINERD__EVENTS__TASK_DELETE__INIT;
    event.container_id = (char *)id;
    event.pid = response->pid;
    event.exit_status = response->exit_status;
    event.exited_at = response->exited_at;
    events_publish("/tasks/delete", &event.base);
}

status_code_t service_on_delete(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__DeleteRequest *ask = message;
    process_t *process = process_find(ask->id, ask->exec_id, st);
    if (!process)
        return st->code;
    if (process->state == PROCESS_RUNNING)
        return status_set(st, STATUS_UNKNOWN, "cannot delete a running process: unknown");
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    events_time(process->exited_ns, &time.seconds, &time.nanos);
    Containerd__Task__V2__DeleteResponse response = CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
    response.pid = (uint32_t)process->pid;
    response.exit_status = process->exit_status;
    response.exited_at = &time;
    if (*ask->exec_id) {
        process_remove(process);
    } else {
        container_remove(process->container);
        publish_delete(ask->id, &response);
    }
    service_reply(answer, &response.base);
    return STATUS_OK;
}

status_code_t service_on_kill(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__KillRequest *ask = message;
    (void)answer;
    const process_t *process = process_find(ask->id, ask->exec_id, st);
    return process ? process_kill(process, ask->signal, ask->all, st) : st->code;
}

status_code_t service_on_resize(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__ResizePtyRequest *ask = message;
    (void)answer;
    const process_t *process = process_find(ask->id, ask->exec_id, st);
    if (!process)
        return st->code;
    streams_resize(&process->streams, ask->width, ask->height);
    return STATUS_OK;
}

status_code_t service_on_close_io(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__CloseIORequest *ask = message;
    (void)answer;
    process_t *process = process_find(ask->id, ask->exec_id, st);
    if (!process)
        return st->code;
    if (ask->stdin)
        streams_close_stdin(&process->streams);
    return STATUS_OK;
}
