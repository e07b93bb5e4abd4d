/* shimd's wire, with a socket and nothing around it. */
#include "tests/bench/peer.h"

#include "common/frame.h"
#include "common/util.h"

#include <stdio.h>

#define CALLS_MAX 2 /* a wait and one other */

typedef struct call {
    msg_uuid_t id;
    msg_id_t method; /* 0 when this place is free */
    bool is_done;
    zmq_msg_t answer; /* once it is done */
} call_t;

typedef struct client {
    void *context, *socket;
    call_t calls[CALLS_MAX];
    call_t *wait;
} client_t;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "manager_bench: shimd: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static call_t *begin(client_t *self, msg_id_t method, const void *ask)
{
    call_t *call = self->calls;
    while (call->method)
        call++; /* there is one: see CALLS_MAX */
    *call = (call_t){.method = method};
    msg_uuid_new(&call->id);
    msg_header_t header = {
        .v = 1, .id = call->id, .method = msg_type(method)->name, .ns = PEER_NAMESPACE};
    zmq_msg_t head, body;
    frame_encode(&head, MSG_header, &header);
    frame_encode(&body, method, ask);
    if (frame_move(self->socket, &head, true) || frame_move(self->socket, &body, false))
        fail(msg_type(method)->name, zmq_strerror(zmq_errno()));
    return call;
}

static void take_answer(client_t *self, frame_set_t *set, msgpack_zone *zone)
{
    msg_header_t header;
    status_t st;
    if (msg_decode(MSG_header, zmq_msg_data(&set->frames[0]), zmq_msg_size(&set->frames[0]), zone,
                   &header, &st))
        fail("answer", st.text);
    for (call_t *call = self->calls; call < self->calls + CALLS_MAX; call++) {
        if (!call->method || memcmp(&call->id, &header.id, sizeof header.id))
            continue;
        if (header.status)
            fail(msg_type(call->method)->name, header.message);
        zmq_msg_init(&call->answer);
        zmq_msg_move(&call->answer, &set->frames[1]);
        call->is_done = true;
    }
}

static void await(client_t *self, const call_t *call)
{
    while (!call->is_done) {
        zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, -1);
        frame_set_t set;
        while (frame_receive(self->socket, &set)) {
            msgpack_zone zone;
            msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
            take_answer(self, &set, &zone);
            msgpack_zone_destroy(&zone);
            frame_set_close(&set);
        }
    }
}

/* Decodes the answer into its struct, whose contents live in `zone`. */
static void end(client_t *self, call_t *call, msgpack_zone *zone, void *answer)
{
    status_t st;
    await(self, call);
    if (msg_decode(msg_type(call->method)->answer, zmq_msg_data(&call->answer),
                   zmq_msg_size(&call->answer), zone, answer, &st))
        fail(msg_type(call->method)->name, st.text);
    zmq_msg_close(&call->answer);
    call->method = 0;
}

/* A request whose answer does not matter as long as it is OK. */
static void ask_plain(void *client, msg_id_t method, const void *ask)
{
    call_t *call = begin(client, method, ask);
    await(client, call);
    zmq_msg_close(&call->answer);
    call->method = 0;
}

static void create_container(void *client, const char *id, const char *spec)
{
    msg_container_create_t ask = {.id = id, .runtime = PEER_RUNTIME};
    ask.spec = (msg_bytes_t){.data = (const uint8_t *)spec, .size = strlen(spec)};
    ask_plain(client, MSG_container_create, &ask);
}

static void create_task(void *client, const char *id)
{
    ask_plain(client, MSG_task_create, &(msg_task_create_t){.id = id});
}

static void begin_wait(void *client, const char *id)
{
    client_t *self = client;
    self->wait = begin(self, MSG_task_wait, &(msg_task_wait_t){.id = id});
}

static void start(void *client, const char *id)
{
    ask_plain(client, MSG_task_start, &(msg_task_start_t){.id = id});
}

static uint32_t end_wait(void *client)
{
    client_t *self = client;
    msgpack_zone zone;
    msg_exited_t exited;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    end(self, self->wait, &zone, &exited);
    msgpack_zone_destroy(&zone);
    return exited.exit_status;
}

static void send_signal(void *client, const char *id, uint32_t signal)
{
    ask_plain(client, MSG_task_kill, &(msg_task_kill_t){.id = id, .signal = signal});
}

static void delete_task(void *client, const char *id)
{
    ask_plain(client, MSG_task_delete, &(msg_task_delete_t){.id = id});
}

static void delete_container(void *client, const char *id)
{
    ask_plain(client, MSG_container_delete, &(msg_container_delete_t){.id = id});
}

static size_t list(void *client)
{
    msgpack_zone zone;
    msg_processes_t tasks;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    end(client, begin(client, MSG_task_list, &(msg_task_list_t){0}), &zone, &tasks);
    msgpack_zone_destroy(&zone);
    return tasks.tasks.count;
}

static void close_client(void *client)
{
    client_t *self = client;
    zmq_close(self->socket);
    zmq_ctx_term(self->context);
    free(self);
}

peer_t peer_shimd(const char *endpoint)
{
    client_t *self = calloc(1, sizeof *self);
    if (!self)
        fail("memory", "not enough");
    self->context = zmq_ctx_new();
    self->socket = zmq_socket(self->context, ZMQ_DEALER);
    if (zmq_connect(self->socket, endpoint))
        fail(endpoint, zmq_strerror(zmq_errno()));
    return (peer_t){.name = "shimd",
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
