/* Events to many subscribers, through shimd-broker and through libzmq's own proxy.
 *
 *   fanout_bench proxy FRONT BACK                  zmq_proxy of XSUB and XPUB, until killed
 *   fanout_bench send FRONT BACK SUBSCRIBERS N     N events to each; prints events a second
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/util.h"

#define EVENT_SIZE 256 /* bytes */
#define WINDOW     200 /* events on the way to any subscriber: none is dropped */
#define KEY        "default/tasks/exit"
#define SUBS_MAX   1000

static void *open_socket(void *context, int type, const char *endpoint, bool binds)
{
    void *socket = zmq_socket(context, type);
    if (!socket || (binds ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint))) {
        fprintf(stderr, "fanout_bench: %s: %s\n", endpoint, zmq_strerror(errno));
        exit(EXIT_FAILURE);
    }
    return socket;
}

static int run_proxy(void *context, const char *front, const char *back)
{
    zmq_proxy(open_socket(context, ZMQ_XSUB, front, true),
              open_socket(context, ZMQ_XPUB, back, true), NULL);
    return EXIT_FAILURE;
}

static void send_event(void *pub)
{
    static const char event[EVENT_SIZE];
    zmq_send(pub, KEY, strlen(KEY), ZMQ_SNDMORE);
    zmq_send(pub, event, sizeof event, 0);
}

/* How many events there were; two frames each. */
static size_t drain(void *sub)
{
    char frame[EVENT_SIZE];
    size_t count = 0;
    while (zmq_recv(sub, frame, sizeof frame, ZMQ_DONTWAIT) >= 0 &&
           zmq_recv(sub, frame, sizeof frame, 0) >= 0)
        count++;
    return count;
}

/* Events until every subscriber has had one; then none is left on the way. */
static void await_subscriptions(void *pub, void **subs, size_t count)
{
    size_t ready = 0;
    while (ready < count) {
        send_event(pub);
        zmq_poll(&(zmq_pollitem_t){.socket = subs[ready], .events = ZMQ_POLLIN}, 1, 10);
        while (ready < count && drain(subs[ready]))
            ready++;
    }
    int64_t quiet = util_monotonic_us();
    while (util_monotonic_us() - quiet < 200000)
        for (size_t i = 0; i < count; i++)
            if (drain(subs[i]))
                quiet = util_monotonic_us();
}

static int run_send(void *context, const char *front, const char *back, size_t count, size_t n)
{
    static void *subs[SUBS_MAX];
    static size_t received[SUBS_MAX];
    if (count > SUBS_MAX)
        return EXIT_FAILURE;
    for (size_t i = 0; i < count; i++) {
        subs[i] = open_socket(context, ZMQ_SUB, back, false);
        zmq_setsockopt(subs[i], ZMQ_SUBSCRIBE, "default/", 8);
    }
    void *pub = open_socket(context, ZMQ_PUB, front, false);
    await_subscriptions(pub, subs, count);
    int64_t begun = util_monotonic_us();
    size_t sent = 0, slowest = 0;
    while (slowest < n) {
        for (; sent < n && sent < slowest + WINDOW; sent++)
            send_event(pub);
        slowest = n;
        for (size_t i = 0; i < count; i++) {
            received[i] += drain(subs[i]);
            slowest = received[i] < slowest ? received[i] : slowest;
        }
    }
    printf("%zu\n", n * 1000000 / (size_t)(util_monotonic_us() - begun));
    exit(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    if (argc == 4 && !strcmp(argv[1], "proxy"))
        return run_proxy(context, argv[2], argv[3]);
    if (argc == 6 && !strcmp(argv[1], "send"))
        return run_send(context, argv[2], argv[3], strtoul(argv[4], NULL, 10),
                        strtoul(argv[5], NULL, 10));
    fputs("usage: fanout_bench proxy FRONT BACK | send FRONT BACK SUBSCRIBERS N\n", stderr);
    return 2;
}
