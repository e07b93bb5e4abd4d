/* Round trips through shimd-broker and through libzmq's own zmq_proxy, with the same frames.
 *
 *   broker_bench proxy FRONT BACK             zmq_proxy between two ipc endpoints, until killed
 *   broker_bench echo proxy|broker ENDPOINT   answers every request, until killed
 *   broker_bench ask ENDPOINT OUTSTANDING N   N requests, so many under way at a time; prints the
 *                                             median round trip in microseconds and requests a
 * second
 */
#include "common/frame.h"
#include "common/util.h"

#include <czmq.h>

#define BODY_SIZE    64 /* bytes, encoded: about */
#define SERVICE_PID  1  /* of a worker that nobody will restart */
#define ECHO_WINDOW  4096
#define HEARTBEAT_MS 1000

static void send_message(void *socket, msg_id_t header_id, const void *header, msg_id_t body_id,
                         const void *body)
{
    zmq_msg_t head, rest;
    frame_encode(&head, header_id, header);
    frame_encode(&rest, body_id, body);
    if (zmq_msg_send(&head, socket, ZMQ_SNDMORE) < 0 || zmq_msg_send(&rest, socket, 0) < 0)
        exit(EXIT_FAILURE);
}

static void tell(void *socket, msg_id_t notice, const void *value)
{
    msg_header_t header = {.v = 1, .method = msg_type(notice)->name};
    msg_uuid_new(&header.id);
    send_message(socket, MSG_header, &header, notice, value);
}

/* Answers a request: the header as a worker makes it, the body as it came. */
static void echo(void *socket, frame_set_t *set)
{
    msgpack_zone zone;
    msg_header_t header;
    status_t st;
    zmq_msg_t *frames = set->frames + (set->count - 2), head;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    if (msg_decode(MSG_header, zmq_msg_data(frames), zmq_msg_size(frames), &zone, &header, &st))
        exit(EXIT_FAILURE);
    frame_encode(&head, MSG_reply, &(msg_reply_t){.v = 1, .id = header.id, .message = ""});
    msgpack_zone_destroy(&zone);
    if (set->count == 3)
        zmq_msg_send(&set->frames[0], socket, ZMQ_SNDMORE);
    zmq_msg_send(&head, socket, ZMQ_SNDMORE);
    zmq_msg_send(&frames[1], socket, 0);
}

static int run_echo(void *context, const char *kind, const char *endpoint)
{
    bool is_brokered = !strcmp(kind, "broker");
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &(int){0}, sizeof(int));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &(int){0}, sizeof(int));
    if (zmq_connect(socket, endpoint))
        return EXIT_FAILURE;
    msg_worker_ready_t ready = {.service = "shim", .pid = SERVICE_PID, .window = ECHO_WINDOW};
    msg_worker_heartbeat_t beat = {.service = "shim", .pid = SERVICE_PID};
    if (is_brokered)
        tell(socket, MSG_worker_ready, &ready);
    for (;;) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, HEARTBEAT_MS);
        frame_set_t set;
        while (frame_receive(socket, &set)) {
            echo(socket, &set);
            frame_set_close(&set);
        }
        if (is_brokered)
            tell(socket, MSG_worker_heartbeat, &beat);
    }
}

static int run_proxy(void *context, const char *front, const char *back)
{
    void *clients = zmq_socket(context, ZMQ_ROUTER), *workers = zmq_socket(context, ZMQ_DEALER);
    for (size_t i = 0; i < 2; i++) {
        void *socket = i ? workers : clients;
        zmq_setsockopt(socket, ZMQ_SNDHWM, &(int){0}, sizeof(int));
        zmq_setsockopt(socket, ZMQ_RCVHWM, &(int){0}, sizeof(int));
        if (zmq_bind(socket, i ? back : front))
            return EXIT_FAILURE;
    }
    return zmq_proxy(clients, workers, NULL) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void ask(void *socket, size_t number)
{
    char id[BODY_SIZE - 3];
    memset(id, 'a', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    msg_header_t header = {.v = 1, .method = "task.get", .ns = "default"};
    number++;
    memcpy(header.id.bytes, &number, sizeof number);
    send_message(socket, MSG_header, &header, MSG_task_get, &(msg_task_get_t){.id = id});
}

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Which request a reply is to: the ids are numbers from one on. */
static size_t number_of(zmq_msg_t *header)
{
    msgpack_zone zone;
    msg_header_t reply;
    status_t st;
    size_t number;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    bool bad =
        msg_decode(MSG_header, zmq_msg_data(header), zmq_msg_size(header), &zone, &reply, &st);
    msgpack_zone_destroy(&zone);
    if (bad || reply.status) {
        fprintf(stderr, "broker_bench: %s\n", bad ? st.text : "refused");
        exit(EXIT_FAILURE);
    }
    memcpy(&number, reply.id.bytes, sizeof number);
    return number - 1;
}

static int run_ask(void *context, const char *endpoint, size_t outstanding, size_t count)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &(int){0}, sizeof(int));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &(int){0}, sizeof(int));
    AUTO_FREE int64_t *times = calloc(count ? count : 1, sizeof *times);
    if (!times || zmq_connect(socket, endpoint))
        return EXIT_FAILURE;
    size_t sent = 0, got = 0;
    int64_t begun = util_monotonic_us();
    while (got < count) {
        for (; sent < count && sent - got < outstanding; sent++) {
            times[sent] = util_monotonic_us();
            ask(socket, sent);
        }
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, -1);
        frame_set_t set;
        while (frame_receive(socket, &set)) {
            size_t number = number_of(&set.frames[0]);
            times[number] = util_monotonic_us() - times[number];
            frame_set_close(&set);
            got++;
        }
    }
    double seconds = (double)(util_monotonic_us() - begun) / 1e6;
    qsort(times, count, sizeof *times, compare_times);
    printf("%lld %.0f\n", (long long)times[count / 2], (double)count / seconds);
    zmq_close(socket);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    if (argc == 4 && !strcmp(argv[1], "proxy"))
        return run_proxy(context, argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "echo"))
        return run_echo(context, argv[2], argv[3]);
    if (argc == 5 && !strcmp(argv[1], "ask"))
        return run_ask(context, argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    fputs("usage: broker_bench proxy FRONT BACK | echo proxy|broker ENDPOINT | ask ENDPOINT "
          "OUTSTANDING N\n",
          stderr);
    return 2;
}
