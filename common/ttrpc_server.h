/* The other side of ttrpc: shims connect here to hand over their events. */
#ifndef SHIMD_TTRPC_SERVER_H
#define SHIMD_TTRPC_SERVER_H

#include "common/io_set.h"
#include "common/status.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TTRPC_CONNECTIONS_MAX 4096 /* of a server; further ones wait in the listener's backlog */
#define TTRPC_REQUESTS_MAX                                                                         \
    128 /* of a connection, unanswered or with answers it has not read;                            \
           after these it is not read from until that changes */

typedef struct ttrpc_server ttrpc_server_t;
typedef struct ttrpc_request ttrpc_request_t;

/* A request to be answered, from inside the handler or at any time later, by exactly one
 * ttrpc_request_answer; it is the holder's until then. Strings and payload are valid as long as the
 * request; `payload` is NULL when `size` is 0, `ns` is "" when the caller sent none. Must not
 * destroy the server. */
typedef void ttrpc_handler_t(void *arg, ttrpc_request_t *request, const char *service,
                             const char *method, const uint8_t *payload, size_t size,
                             const char *ns);

/* Serves connections to `listener`, a listening unix socket, which is made non-blocking, stays the
 * caller's and must outlive the server; so must `io`. Peers that do not run as our effective user
 * are turned away. NULL with a status when the listener cannot be watched. What the server answers
 * by itself, as containerd's does: 3 to a stream id that is even or not greater than those before,
 * 8 to a body over 4 MiB, 13 to a body that is no request. Frames that are no requests are
 * ignored. An unknown service or method is the handler's to answer, with 12. */
ttrpc_server_t *ttrpc_server_new(io_set_t *io, int listener, ttrpc_handler_t *handler, void *arg,
                                 status_t *st);

/* Closes all connections. Requests that are not answered yet stay their holders', who still call
 * ttrpc_request_answer. */
void ttrpc_server_destroy(ttrpc_server_t **self);

/* Answers and frees the request. With st->code 0 the payload is the encoded answer (none when
 * `size` is 0), otherwise it is ignored. Does nothing but free when the connection is gone. An
 * answer that is too large becomes RESOURCE_EXHAUSTED; a peer that lets TTRPC_QUEUE_MAX bytes of
 * answers pile up is disconnected. */
void ttrpc_request_answer(ttrpc_request_t **self, const status_t *st, const uint8_t *payload,
                          size_t size);

/* The process that connected, by SO_PEERCRED; kept when the connection is gone. */
pid_t ttrpc_request_peer_pid(const ttrpc_request_t *self);

/* Open connections. */
size_t ttrpc_server_connections(const ttrpc_server_t *self);

#endif
