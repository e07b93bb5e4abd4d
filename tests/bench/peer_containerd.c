/* containerd's API over gRPC's C core: the calling thread itself sends and receives, as the client
 * of the other side does. */
#include "tests/bench/peer.h"

#include "common/proto/runc_options.pb-c.h"
#include "common/util.h"
#include "tests/bench/containerd_api.pb-c.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

#define CONTAINERS    "/containerd.services.containers.v1.Containers/"
#define TASKS         "/containerd.services.tasks.v1.Tasks/"
#define SPEC_TYPE     "types.containerd.io/opencontainers/runtime-spec/1/Spec"
#define OPTIONS_TYPE  "containerd.runc.v1.Options"
#define NAMESPACE_KEY "containerd-namespace"
#define OPS           6

typedef struct rpc {
    const char *method;
    grpc_call *call;
    grpc_byte_buffer *answer;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
} rpc_t;

typedef struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    grpc_metadata ns;
    char *runc_root;
    rpc_t wait;
} client_t;

static void fail(const char *what, const char *why, size_t length)
{
    fprintf(stderr, "manager_bench: containerd: %s: %.*s\n", what, (int)length, why);
    exit(EXIT_FAILURE);
}

static grpc_byte_buffer *packed(const ProtobufCMessage *message)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

static void begin(client_t *self, rpc_t *rpc, const char *method, const ProtobufCMessage *ask)
{
    *rpc = (rpc_t){.method = method};
    grpc_metadata_array_init(&rpc->initial);
    grpc_metadata_array_init(&rpc->trailing);
    rpc->call = grpc_channel_create_call(self->channel, NULL, GRPC_PROPAGATE_DEFAULTS, self->queue,
                                         grpc_slice_from_static_string(method), NULL,
                                         gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_byte_buffer *request = packed(ask);
    grpc_op ops[OPS] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};
    ops[0].data.send_initial_metadata.count = 1;
    ops[0].data.send_initial_metadata.metadata = &self->ns;
    ops[1].data.send_message.send_message = request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &rpc->initial;
    ops[4].data.recv_message.recv_message = &rpc->answer;
    ops[5].data.recv_status_on_client.trailing_metadata = &rpc->trailing;
    ops[5].data.recv_status_on_client.status = &rpc->status;
    ops[5].data.recv_status_on_client.status_details = &rpc->details;
    if (grpc_call_start_batch(rpc->call, ops, OPS, rpc, NULL) != GRPC_CALL_OK)
        fail(method, "refused", sizeof "refused");
    grpc_byte_buffer_destroy(request);
}

/* The answer's bytes; the caller lets go of them. */
static grpc_slice end(client_t *self, rpc_t *rpc)
{
    grpc_completion_queue_pluck(self->queue, rpc, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    if (rpc->status != GRPC_STATUS_OK)
        fail(rpc->method, (const char *)GRPC_SLICE_START_PTR(rpc->details),
             GRPC_SLICE_LENGTH(rpc->details));
    grpc_slice bytes = grpc_empty_slice();
    grpc_byte_buffer_reader reader;
    if (rpc->answer && grpc_byte_buffer_reader_init(&reader, rpc->answer)) {
        bytes = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(rpc->answer);
    grpc_slice_unref(rpc->details);
    grpc_metadata_array_destroy(&rpc->initial);
    grpc_metadata_array_destroy(&rpc->trailing);
    grpc_call_unref(rpc->call);
    return bytes;
}

static void ask_plain(void *client, const char *method, const ProtobufCMessage *ask)
{
    rpc_t rpc;
    begin(client, &rpc, method, ask);
    grpc_slice_unref(end(client, &rpc));
}

static void ask_task(void *client, const char *method, const char *id)
{
    Bench__TaskRequest ask = BENCH__TASK_REQUEST__INIT;
    ask.container_id = (char *)id;
    ask_plain(client, method, &ask.base);
}

static void create_container(void *client, const char *id, const char *spec)
{
    client_t *self = client;
    Containerd__Runc__V1__Options options = CONTAINERD__RUNC__V1__OPTIONS__INIT;
    options.root = self->runc_root;
    uint8_t bytes[1024];
    if (protobuf_c_message_get_packed_size(&options.base) > sizeof bytes)
        fail("runc's directory", "too long a path", sizeof "too long a path");
    Google__Protobuf__Any any_options = GOOGLE__PROTOBUF__ANY__INIT;
    any_options.type_url = (char *)OPTIONS_TYPE;
    any_options.value.data = bytes;
    any_options.value.len = protobuf_c_message_pack(&options.base, bytes);
    Bench__Runtime runtime = BENCH__RUNTIME__INIT;
    runtime.name = (char *)PEER_RUNTIME;
    runtime.options = &any_options;
    Google__Protobuf__Any any_spec = GOOGLE__PROTOBUF__ANY__INIT;
    any_spec.type_url = (char *)SPEC_TYPE;
    any_spec.value.data = (uint8_t *)spec;
    any_spec.value.len = strlen(spec);
    Bench__Container container = BENCH__CONTAINER__INIT;
    container.id = (char *)id;
    container.runtime = &runtime;
    container.spec = &any_spec;
    Bench__CreateContainerRequest ask = BENCH__CREATE_CONTAINER_REQUEST__INIT;
    ask.container = &container;
    ask_plain(client, CONTAINERS "Create", &ask.base);
}

static void create_task(void *client, const char *id)
{
    ask_task(client, TASKS "Create", id);
}

static void begin_wait(void *client, const char *id)
{
    client_t *self = client;
    Bench__TaskRequest ask = BENCH__TASK_REQUEST__INIT;
    ask.container_id = (char *)id;
    begin(self, &self->wait, TASKS "Wait", &ask.base);
}

static void start(void *client, const char *id)
{
    ask_task(client, TASKS "Start", id);
}

static uint32_t end_wait(void *client)
{
    client_t *self = client;
    grpc_slice bytes = end(self, &self->wait);
    Bench__WaitResponse *answer =
        bench__wait_response__unpack(NULL, GRPC_SLICE_LENGTH(bytes), GRPC_SLICE_START_PTR(bytes));
    grpc_slice_unref(bytes);
    if (!answer)
        fail("Wait", "undecodable", sizeof "undecodable");
    uint32_t status = answer->exit_status;
    bench__wait_response__free_unpacked(answer, NULL);
    return status;
}

static void send_signal(void *client, const char *id, uint32_t signal)
{
    Bench__KillRequest ask = BENCH__KILL_REQUEST__INIT;
    ask.container_id = (char *)id;
    ask.signal = signal;
    ask_plain(client, TASKS "Kill", &ask.base);
}

static void delete_task(void *client, const char *id)
{
    ask_task(client, TASKS "Delete", id);
}

static void delete_container(void *client, const char *id)
{
    Bench__DeleteContainerRequest ask = BENCH__DELETE_CONTAINER_REQUEST__INIT;
    ask.id = (char *)id;
    ask_plain(client, CONTAINERS "Delete", &ask.base);
}

static size_t list(void *client)
{
    Bench__ListTasksRequest ask = BENCH__LIST_TASKS_REQUEST__INIT;
    rpc_t rpc;
    begin(client, &rpc, TASKS "List", &ask.base);
    grpc_slice bytes = end(client, &rpc);
    Bench__ListTasksResponse *answer = bench__list_tasks_response__unpack(
        NULL, GRPC_SLICE_LENGTH(bytes), GRPC_SLICE_START_PTR(bytes));
    grpc_slice_unref(bytes);
    if (!answer)
        fail("List", "undecodable", sizeof "undecodable");
    size_t count = answer->n_tasks;
    bench__list_tasks_response__free_unpacked(answer, NULL);
    return count;
}

static void close_client(void *client)
{
    client_t *self = client;
    grpc_channel_destroy(self->channel);
    grpc_completion_queue_shutdown(self->queue);
    grpc_completion_queue_destroy(self->queue);
    grpc_shutdown();
    free(self->runc_root);
    free(self);
}

peer_t peer_containerd(const char *socket, const char *runc_root)
{
    client_t *self = calloc(1, sizeof *self);
    if (!self)
        fail("memory", "not enough", sizeof "not enough");
    grpc_init();
    AUTO_FREE char *target = util_format("unix://%s", socket);
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    self->channel = grpc_channel_create(target, credentials, NULL);
    grpc_channel_credentials_release(credentials);
    self->queue = grpc_completion_queue_create_for_pluck(NULL);
    self->ns.key = grpc_slice_from_static_string(NAMESPACE_KEY);
    self->ns.value = grpc_slice_from_static_string(PEER_NAMESPACE);
    self->runc_root = util_strdup(runc_root);
    return (peer_t){.name = "containerd",
                    .client = self,
                    .create_container = create_container,
                    .create_task = create_task,
                    .begin_wait = begin_wait,
                    .start = start,
                    .end_wait = end_wait,
                    .kill = send_signal,
                    .delete_task = delete_task,
                    .delete_container = delete_container,
                    .list = list,
                    .close = close_client};
}
