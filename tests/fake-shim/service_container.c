/* The Task service's methods about whole containers, and the shim itself. */
#include "common/proto/events.pb-c.h"
#include "common/proto/runc_options.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "common/proto_value.h"
#include "common/util.h"
#include "tests/fake-shim/container.h"
#include "tests/fake-shim/events.h"
#include "tests/fake-shim/service_internal.h"
#include "tests/fake-shim/stats.h"

#include <google/protobuf/any.pb-c.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define RUNC_OPTIONS  "containerd.runc.v1.Options"
#define OTHER_OPTIONS "runtimeoptions.v1.Options"

static void write_file(const char *bundle, const char *name, const char *text)
{
    AUTO_FREE char *path = util_format("%s/%s", bundle, name);
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    fputs(text, file);
    fclose(file);
}

/* Create -----------------------------------------------------------------------------------------
 */

static status_code_t check_options(const Google__Protobuf__Any *any, status_t *st)
{
    if (!any || !*any->type_url || strcmp(any->type_url, OTHER_OPTIONS) == 0)
        return STATUS_OK;
    if (strcmp(any->type_url, RUNC_OPTIONS) != 0) {
        if (proto_value_is_known(any->type_url))
            service_crash("interface conversion: options are of another type");
        return status_set(st, STATUS_UNKNOWN, "type with url %s: not found: unknown",
                          any->type_url);
    }
    Containerd__Runc__V1__Options *decoded =
        containerd__runc__v1__options__unpack(NULL, any->value.len, any->value.data);
    if (!decoded)
        return status_set(st, STATUS_UNKNOWN, "options cannot be decoded: unknown");
    containerd__runc__v1__options__free_unpacked(decoded, NULL);
    return STATUS_OK;
}

/* What runc's shim leaves in the bundle, and `delete` reads. */
static void write_bundle_files(const char *bundle, const Google__Protobuf__Any *any)
{
    AUTO_FREE char *text =
        util_format("{\"type_url\":\"%s\"}\n", any && *any->type_url ? any->type_url : "");
    write_file(bundle, "options.json", text);
    write_file(bundle, "runtime", "fake");
    write_file(bundle, "log.json", "");
}

static void publish_create(const Containerd__Task__V2__CreateTaskRequest *ask, uint32_t pid)
{
    Containerd__Events__TaskIO io = CONTAINERD__EVENTS__TASK_IO__INIT;
    io.stdin = ask->stdin;
    io.stdout = ask->stdout;
    io.stderr = ask->stderr;
    io.terminal = ask->terminal;
    Containerd__Events__TaskCreate event = CONTAINERD__EVENTS__TASK_CREATE__INIT;
    event.container_id = ask->id;
    event.bundle = ask->bundle;
    event.rootfs = ask->rootfs;
    event.n_rootfs = ask->n_rootfs;
    event.io = &io;
    event.checkpoint = ask->checkpoint;
    event.pid = pid;
    events_publish("/tasks/create", &event.base);
}

status_code_t service_on_create(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__CreateTaskRequest *ask = message;
    Containerd__Task__V2__CreateTaskResponse response =
        CONTAINERD__TASK__V2__CREATE_TASK_RESPONSE__INIT;
    status_t unknown;
    if (containers_find(ask->id, &unknown)) {
        /* A real shim undoes what it did not do: the rootfs of the one that lives. */
        AUTO_FREE char *rootfs = util_format("%s/rootfs", ask->bundle);
        umount2(rootfs, MNT_DETACH);
        return status_set(st, STATUS_UNKNOWN,
                          "container with id exists: %s: already exists: unknown", ask->id);
    }
    if (check_options(ask->options, st))
        return st->code;
    AUTO(spec)
    spec = spec_load(ask->bundle, st);
    if (!spec)
        return st->code;
    write_bundle_files(ask->bundle, ask->options);
    const container_t *container = container_create(ask, spec, st);
    if (!container)
        return st->code;
    response.pid = (uint32_t)container->init->pid;
    publish_create(ask, response.pid);
    service_reply(answer, &response.base);
    return STATUS_OK;
}

/* Running containers
 * -------------------------------------------------------------------------------------
 */

/* SIGSTOP or SIGCONT for all processes; refused with `refusal` unless the state is the right one.
 */
static status_code_t freeze(const char *id, bool pauses, status_t *st)
{
    container_t *container = containers_find(id, st);
    if (!container)
        return st->code;
    if (container->init->state != PROCESS_RUNNING || container->is_paused == pauses)
        return status_set(st, STATUS_UNKNOWN, "cannot %s task in %s state: unknown",
                          pauses ? "pause" : "resume",
                          container->init->state == PROCESS_CREATED   ? "created"
                          : container->init->state == PROCESS_STOPPED ? "stopped"
                          : container->is_paused                      ? "paused"
                                                                      : "running");
    if (process_kill(container->init, pauses ? SIGSTOP : SIGCONT, true, st))
        return st->code;
    container->is_paused = pauses;
    return STATUS_OK;
}

status_code_t service_on_pause(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__PauseRequest *ask = message;
    (void)answer;
    container_t *container = containers_find(ask->id, st);
    if (container)
        container->is_pausing = false;
    if (freeze(ask->id, true, st))
        return st->code;
    Containerd__Events__TaskPaused event = CONTAINERD__EVENTS__TASK_PAUSED__INIT;
    event.container_id = ask->id;
    events_publish("/tasks/paused", &event.base);
    return STATUS_OK;
}

status_code_t service_on_resume(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__ResumeRequest *ask = message;
    (void)answer;
    if (freeze(ask->id, false, st))
        return st->code;
    Containerd__Events__TaskResumed event = CONTAINERD__EVENTS__TASK_RESUMED__INIT;
    event.container_id = ask->id;
    events_publish("/tasks/resumed", &event.base);
    return STATUS_OK;
}

status_code_t service_on_pids(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__PidsRequest *ask = message;
    const container_t *container = containers_find(ask->id, st);
    if (!container)
        return st->code;
    stats_pids(container, &answer->payload, &answer->size);
    return STATUS_OK;
}

status_code_t service_on_stats(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__StatsRequest *ask = message;
    const container_t *container = containers_find(ask->id, st);
    if (!container)
        return st->code;
    stats_metrics(container, &answer->payload, &answer->size);
    return STATUS_OK;
}

status_code_t service_on_update(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__UpdateTaskRequest *ask = message;
    (void)answer;
    if (!containers_find(ask->id, st))
        return st->code;
    if (!ask->resources)
        service_crash("invalid memory address or nil pointer dereference");
    json_error_t error;
    json_t *resources =
        json_loadb((const char *)ask->resources->value.data, ask->resources->value.len, 0, &error);
    if (!resources)
        return status_set(st, STATUS_UNKNOWN, "resources are no JSON: %s: unknown", error.text);
    json_decref(resources);
    return STATUS_OK;
}

static bool wants_exit(const Google__Protobuf__Any *any)
{
    if (!any)
        return false;
    Containerd__Runc__V1__CheckpointOptions *decoded =
        containerd__runc__v1__checkpoint_options__unpack(NULL, any->value.len, any->value.data);
    bool exits = decoded && decoded->exit;
    if (decoded)
        containerd__runc__v1__checkpoint_options__free_unpacked(decoded, NULL);
    return exits;
}

/* Nothing but a file that says so: the process that is restored begins anew. */
status_code_t service_on_checkpoint(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__CheckpointTaskRequest *ask = message;
    (void)answer;
    const container_t *container = containers_find(ask->id, st);
    if (!container)
        return st->code;
    AUTO_FREE char *work = util_format("%s/work", container->bundle);
    if (container->init->state != PROCESS_RUNNING)
        return status_set(st, STATUS_UNKNOWN, "cannot checkpoint a stopped process: unknown");
    if (access(work, W_OK) || access(ask->path, W_OK))
        return status_set(st, STATUS_UNKNOWN, "mkdir %s: no such file or directory: unknown",
                          access(work, W_OK) ? work : ask->path);
    write_file(ask->path, "fake-checkpoint", container->id);
    return wants_exit(ask->options) ? process_kill(container->init, SIGKILL, true, st) : STATUS_OK;
}

/* The shim itself --------------------------------------------------------------------------------
 */

status_code_t service_on_connect(const void *message, answer_t *answer, status_t *st)
{
    const Containerd__Task__V2__ConnectRequest *ask = message;
    Containerd__Task__V2__ConnectResponse response = CONTAINERD__TASK__V2__CONNECT_RESPONSE__INIT;
    const container_t *container = containers_find(ask->id, st);
    response.shim_pid = (uint32_t)getpid();
    response.task_pid = container ? (uint32_t)container->init->pid : 0;
    service_reply(answer, &response.base);
    return STATUS_OK;
}

status_code_t service_on_shutdown(const void *message, answer_t *answer, status_t *st)
{
    (void)message, (void)st;
    answer->is_last = containers_count() == 0;
    return STATUS_OK;
}
