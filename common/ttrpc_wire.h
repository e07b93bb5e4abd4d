/* ttrpc frames in and out of a non-blocking socket. What client and server have in common: both
 * say what frames mean. */
#ifndef SHIMD_TTRPC_WIRE_H
#define SHIMD_TTRPC_WIRE_H

#include "common/io_set.h"
#include "common/status.h"
#include "common/ttrpc_frame.h"

#include <stdbool.h>
#include <sys/types.h>

#define TTRPC_READ_BUDGET (256 * 1024)      /* bytes read in one wake-up: others' turn then */
#define TTRPC_QUEUE_MAX   (8 * 1024 * 1024) /* bytes waiting for a peer that does not read */

typedef struct ttrpc_wire ttrpc_wire_t;

/* All are called from the loop, never from inside a function of this module; each may call any of
 * them, ttrpc_wire_destroy included. */
typedef struct ttrpc_wire_ops {
    /* A whole frame. `body` is valid during the call only. */
    void (*frame)(void *arg, const ttrpc_header_t *header, const uint8_t *body);
    /* The peer announced a body over TTRPC_BODY_MAX. It is read and thrown away, unless
     * ttrpc_wire_fail is called here. */
    void (*oversize)(void *arg, const ttrpc_header_t *header);
    /* All that was queued has been handed to the kernel. May be NULL. */
    void (*drained)(void *arg);
    /* The last call, once: the socket is closed. UNAVAILABLE when the peer closed it, after all
     * frames that it had sent before; else what ttrpc_wire_fail was told. */
    void (*closed)(void *arg, const status_t *st);
    const char *peer; /* for sentences: "shim" */
} ttrpc_wire_ops_t;

/* A wire without a socket, which queues what is sent. `ops` and `io` must outlive it. */
ttrpc_wire_t *ttrpc_wire_new(io_set_t *io, const ttrpc_wire_ops_t *ops, void *arg);
void ttrpc_wire_destroy(ttrpc_wire_t **self);

/* Takes over the connected, non-blocking `fd` (on failure too) and starts. PERMISSION_DENIED when
 * its peer does not run as our effective user, which is containerd's rule; then, and when it cannot
 * be watched, there is no other call and the wire is good for nothing but ttrpc_wire_destroy. */
status_code_t ttrpc_wire_open(ttrpc_wire_t *self, int fd, status_t *st);

/* Sends, or queues, and takes the frame over in any case. RESOURCE_EXHAUSTED when the queue is
 * full, UNAVAILABLE when the socket is closed or about to be: the frame was not sent then. */
status_code_t ttrpc_wire_send(ttrpc_wire_t *self, ttrpc_frame_t *frame, status_t *st);

/* Frames that wait to be sent, one that is half sent included. */
size_t ttrpc_wire_queued(const ttrpc_wire_t *self);

/* Reads no further frames while paused. A peer that goes meanwhile is noticed, and what it had
 * sent last is lost. */
void ttrpc_wire_pause(ttrpc_wire_t *self, bool is_paused);

/* Gives up: no further frame is delivered or sent, and `closed` is called from the loop with a copy
 * of `st`; without a socket there is no such call. The first failure counts. */
void ttrpc_wire_fail(ttrpc_wire_t *self, const status_t *st);

/* Of the process on the other side, as the kernel knows it (SO_PEERCRED); 0 without a socket. For a
 * connecting socket that is the process that called listen(2), which of a shim's is its `start`
 * helper, not the daemon. */
int ttrpc_wire_fd(const ttrpc_wire_t *self); /* -1 when it is not open */
pid_t ttrpc_wire_peer_pid(const ttrpc_wire_t *self);

#endif
