/* A ZeroMQ socket in an io_set. Its descriptor (ZMQ_FD) is readable only while commands wait for
 * the socket, and whatever is done with the socket may take them: a send too, after which the
 * descriptor may stay silent although messages are there. So every socket that was used is looked
 * at once more before the loop sleeps. */
#ifndef SHIMD_IO_ZMQ_H
#define SHIMD_IO_ZMQ_H

#include "common/io_set.h"

#include <stdbool.h>
#include <sys/queue.h>

/* Receives one whole message without waiting and handles it. False when the socket said that it has
 * none (EAGAIN), and then nothing was done with the socket after that. May stop its own watch, and
 * use other sockets. */
typedef bool io_zmq_handler_t(void *arg);

/* In one turn a socket is asked for so many messages before the other sockets have theirs, and all
 * together for so many before descriptors and timers have their turn. */
#define IO_ZMQ_BURST 256
#define IO_ZMQ_TURN  1024

/* A member of whatever it belongs to. Must be stopped before its memory goes, and before the socket
 * is closed. */
typedef struct io_zmq {
    void *socket;
    io_set_t *io;
    int fd;
    io_zmq_handler_t *handler;
    void *arg;
    bool is_queued;
    TAILQ_ENTRY(io_zmq) link;
} io_zmq_t;

/* Watches `socket`, which stays the caller's. */
void io_zmq_start(io_zmq_t *self, io_set_t *io, void *socket, io_zmq_handler_t *handler, void *arg);

/* No call comes after this. Does nothing when the watch is stopped, or zeroed memory. */
void io_zmq_stop(io_zmq_t *self);

/* Must be called after anything but its handler's receiving was done with the socket: a message
 * sent, an option read. Cheap; the looking is done later in the turn, or in the next. */
void io_zmq_used(io_zmq_t *self);

#endif
