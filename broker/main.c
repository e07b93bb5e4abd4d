/* shimd-broker: routes requests between clients and workers and fans events out. It has no disk and
 * no idea what a container is. */
#include "broker/fanout.h"
#include "broker/router.h"

#include "common/io_set.h"
#include "common/log.h"
#include "common/process.h"
#include "common/util.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#define MESSAGE_MAX    (16 << 20) /* bytes of a frame; a peer that sends more is disconnected */
#define SUBSCRIBER_HWM 10000      /* events kept for a slow subscriber before it misses some */
#define PEER_HWM       ROUTER_JOBS_MAX /* a ROUTER drops what exceeds it: no fewer than may be asked */
#define LINGER_MS      200

/* A socket of its kind on the listener the supervisor keeps, or on one of our own when the broker
 * is run by itself. Exits when it cannot be had: without its sockets the broker is nothing. */
static zsock_t *open_socket(const cluster_t *cluster, cluster_socket_t which, int type)
{
    AUTO_FREE char *endpoint = cluster_endpoint(cluster, which);
    zsock_t *socket = zsock_new(type);
    int inherited = cluster_inherited_socket(which);
    if (!socket) {
        log_error("start: make a socket: %s", zmq_strerror(errno));
        exit(EXIT_FAILURE);
    }
    zsock_set_linger(socket, LINGER_MS);
    zmq_setsockopt(zsock_resolve(socket), ZMQ_MAXMSGSIZE, &(int64_t){MESSAGE_MAX}, sizeof(int64_t));
    /* A listener hands on the options it has while it is bound. */
    zsock_set_sndhwm(socket, type == ZMQ_XPUB ? SUBSCRIBER_HWM : PEER_HWM);
    if (inherited >= 0)
        zmq_setsockopt(zsock_resolve(socket), ZMQ_USE_FD, &inherited, sizeof inherited);
    mode_t mask = umask(0177);
    int bound = zmq_bind(zsock_resolve(socket), endpoint);
    umask(mask);
    if (bound) {
        log_error("start: bind %s: %s", endpoint, zmq_strerror(errno));
        exit(EXIT_FAILURE);
    }
    return socket;
}

static void on_signal(void *arg, int fd, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    if (read(fd, &info, sizeof info) == sizeof info)
        io_set_stop(arg);
}

int main(int argc, char **argv)
{
    cluster_t cluster;
    int signals = process_init("shimd-broker", argc, argv, &cluster);
    zsys_handler_set(NULL);
    io_set_t *io = io_set_new(NULL);
    io_set_add(io, signals, EPOLLIN, on_signal, io);

    zsock_t *workers = open_socket(&cluster, CLUSTER_WORKER, ZMQ_ROUTER);
    zsock_t *clients = open_socket(&cluster, CLUSTER_CLIENT, ZMQ_ROUTER);
    zsock_t *publish = open_socket(&cluster, CLUSTER_PUBLISH, ZMQ_XSUB);
    zsock_t *events = open_socket(&cluster, CLUSTER_EVENTS, ZMQ_XPUB);
    router_t *router = router_new(io, zsock_resolve(clients), zsock_resolve(workers));
    fanout_t *fanout = fanout_new(io, zsock_resolve(publish), zsock_resolve(events));
    router_set_event_counter(router, fanout_count(fanout));

    cluster_notify_ready();
    io_set_run(io);

    fanout_destroy(&fanout);
    router_destroy(&router);
    zsock_destroy(&events);
    zsock_destroy(&publish);
    zsock_destroy(&clients);
    zsock_destroy(&workers);
    io_set_destroy(&io);
    close(signals);
    return EXIT_SUCCESS;
}
