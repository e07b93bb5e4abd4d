/* What task.create sends to a shim: options, mounts, streams. */
#include "workers/shim/create.h"
#include "workers/shim/runtime.h"
#include "workers/shim/text.h"

#include "common/proto/runc_options.pb-c.h"
#include "common/proto/task.pb-c.h"

#include <jansson.h>

/* The one that wins comes first (containerd, cmd/containerd-shim-runc-v2/manager). */
static const char *const group_annotations[] = {"io.containerd.runc.v2.group",
                                                "io.kubernetes.cri.sandbox-id"};

static const char *group_of(const json_t *spec)
{
    const json_t *annotations = json_object_get(spec, "annotations");
    for (size_t i = 0; i < ARRAY_SIZE(group_annotations); i++) {
        const char *group = json_string_value(json_object_get(annotations, group_annotations[i]));
        if (group && *group)
            return group;
    }
    return NULL;
}

status_code_t create_read_spec(const msg_container_t *container, bool terminal, char *group,
                               size_t size, status_t *st)
{
    json_error_t error;
    /* Limits of 2^64-1 are legal in a spec and do not fit jansson's integers. */
    json_t *spec = json_loadb((const char *)container->spec.data, container->spec.size,
                              JSON_DECODE_INT_AS_REAL, &error);
    const json_t *process = json_object_get(spec, "process");
    const char *named = group_of(spec);
    status_clear(st);
    if (!json_is_object(spec))
        status_set(st, STATUS_INVALID_ARGUMENT, "container %s: its spec is not JSON: %s",
                   container->id, error.text);
    else if (!json_is_object(process))
        status_set(st, STATUS_INVALID_ARGUMENT, "container %s: its spec has no process",
                   container->id);
    else if (json_is_true(json_object_get(process, "terminal")) != terminal)
        status_set(st, STATUS_INVALID_ARGUMENT,
                   "container %s: terminal is %s in the spec and %s here", container->id,
                   terminal ? "off" : "on", terminal ? "on" : "off");
    else if (named && !msg_is_identifier(named, strlen(named)))
        status_set(st, STATUS_INVALID_ARGUMENT, "container %s: group %.100s is not an identifier",
                   container->id, named);
    else
        snprintf(group, size, "%s", named ? named : container->id);
    json_decref(spec);
    return st->code;
}

void create_read_group(const msg_bytes_t *bytes, const char *id, char *group, size_t size)
{
    json_t *spec =
        json_loadb((const char *)bytes->data, bytes->size, JSON_DECODE_INT_AS_REAL, NULL);
    const char *named = group_of(spec);
    bool is_good = named && msg_is_identifier(named, strlen(named));
    snprintf(group, size, "%s", is_good ? named : id);
    json_decref(spec);
}

void create_pack_options(create_t *create)
{
    const msg_container_t *container = &create->container;
    const msg_runc_options_t *given = container->runc;
    const char *runtime = create->task->runtime;
    if (container->options_type) {
        create->options_type = util_strdup(container->options_type);
        create->options_size = container->options.size;
        create->options = zmalloc(create->options_size + 1);
        memcpy(create->options, container->options.data, create->options_size);
        return;
    }
    if (!given && !runtime_is_runc(runtime))
        return;
    static const msg_runc_options_t none;
    const msg_runc_options_t *from = given ? given : &none;
    Containerd__Runc__V1__Options options = CONTAINERD__RUNC__V1__OPTIONS__INIT;
    options.no_pivot_root = from->no_pivot_root;
    options.no_new_keyring = from->no_new_keyring;
    options.shim_cgroup = text_or_empty(from->shim_cgroup);
    options.io_uid = from->io_uid;
    options.io_gid = from->io_gid;
    options.binary_name = text_or_empty(from->binary_name);
    options.root = from->root ? (char *)from->root : create->manager->runc_root;
    options.systemd_cgroup = from->systemd_cgroup;
    options.criu_image_path = text_or_empty(from->criu_image_path);
    options.criu_work_path = text_or_empty(from->criu_work_path);
    create->options_type = util_strdup(CREATE_RUNC_OPTIONS);
    create->options_size = containerd__runc__v1__options__get_packed_size(&options);
    create->options = zmalloc(create->options_size + 1);
    containerd__runc__v1__options__pack(&options, create->options);
}

void create_call(create_t *create, ttrpc_reply_t *reply)
{
    const msg_task_create_t *ask = create->ask;
    Google__Protobuf__Any options = GOOGLE__PROTOBUF__ANY__INIT;
    Containerd__Task__V2__CreateTaskRequest request =
        CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
    request.id = create->task->id;
    request.bundle = create->task->bundle;
    request.rootfs = create->rootfs.mounts;
    request.n_rootfs = create->rootfs.count;
    request.terminal = ask->terminal;
    request.stdin = text_or_empty(ask->stdin);
    request.stdout = text_or_empty(ask->stdout);
    request.stderr = text_or_empty(ask->stderr);
    request.checkpoint = text_or_empty(ask->checkpoint);
    if (create->options_type) {
        options.type_url = create->options_type;
        options.value = (ProtobufCBinaryData){.len = create->options_size, .data = create->options};
        request.options = &options;
    }
    shim_call(create->task->shim, "Create", &request.base, create->manager->timeouts.create,
              create->task->ns, reply, create);
}
