/* Calls to a shim: one connection, any number of requests under way on it. */
#ifndef SHIMD_TTRPC_CLIENT_H
#define SHIMD_TTRPC_CLIENT_H

#include "common/io_set.h"
#include "common/status.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TTRPC_CALLS_MAX 4096 /* unanswered calls of one client */

typedef struct ttrpc_client ttrpc_client_t;

/* The outcome of one call. With STATUS_OK `payload` is the encoded answer, valid during the call
 * only (NULL when `size` is 0); otherwise `st` says what the shim said, or:
 *
 *   UNAVAILABLE         "shim closed the connection", or it could not be made
 *   DEADLINE_EXCEEDED   no answer in time; the shim goes on
 *   RESOURCE_EXHAUSTED  not sent: too large, or too much under way. A shim may say this code too.
 *   INTERNAL            the shim sent something that is no ttrpc
 *
 * A code that gRPC does not have becomes UNKNOWN; a byte that is no UTF-8, '?'. */
typedef void ttrpc_reply_t(void *arg, const status_t *st, const uint8_t *payload, size_t size);

/* The connection is gone, after every pending call was told so. */
typedef void ttrpc_closed_t(void *arg, const status_t *st);

/* Connects to an address as ttrpc_address_parse takes it. UNAVAILABLE when nobody listens there
 * (ECONNREFUSED, ENOENT), INVALID_ARGUMENT for the address, PERMISSION_DENIED when the listener
 * does not run as our effective user; then NULL is returned. While the listener's backlog is full
 * it is tried again for `connect_ms`; calls made meanwhile wait, and are told UNAVAILABLE, as
 * `on_close` is, when that time is over. `io` must outlive the client. `on_close` may be NULL. */
ttrpc_client_t *ttrpc_client_new(io_set_t *io, const char *address, int64_t connect_ms,
                                 ttrpc_closed_t *on_close, void *arg, status_t *st);

/* The same over a connected socket, which is taken over (on failure too) and made non-blocking. */
ttrpc_client_t *ttrpc_client_adopt(io_set_t *io, int fd, ttrpc_closed_t *on_close, void *arg,
                                   status_t *st);

/* Closes the connection. Nothing is called from here on: not the callbacks of pending calls, nor
 * on_close. Allowed inside any callback of this client. */
void ttrpc_client_destroy(ttrpc_client_t **self);

/* Asks. `callback` is called exactly once, from the loop and never from inside this function,
 * unless the call is cancelled or the client destroyed before. `request` is packed at once and
 * stays the caller's, as do the strings. A `timeout_ms` of 0 is none; it is told to the shim too,
 * which heeds it for what it runs only. `ns` is the namespace to send along, NULL for none. After
 * the connection is gone calls are answered UNAVAILABLE. */
void ttrpc_client_call(ttrpc_client_t *self, const char *service, const char *method,
                       const ProtobufCMessage *request, int64_t timeout_ms, const char *ns,
                       ttrpc_reply_t *callback, void *arg);

/* Forgets all pending calls: none of their callbacks is called. The connection stays, what was sent
 * is not taken back, and the answers that come are counted as late. Allowed inside any callback. */
void ttrpc_client_cancel_all(ttrpc_client_t *self);

/* True once the connection is gone: calls are answered UNAVAILABLE from here on. */
bool ttrpc_client_is_closed(const ttrpc_client_t *self);

/* Calls that are not answered yet. */
size_t ttrpc_client_pending(const ttrpc_client_t *self);

/* Answers that came after their call had timed out or was cancelled, and were thrown away. */
uint64_t ttrpc_client_late_replies(const ttrpc_client_t *self);

/* The connected socket, which stays the client's; -1 while there is none. */
int ttrpc_client_fd(const ttrpc_client_t *self);

/* The process that listens, by SO_PEERCRED: the one that called listen(2). The `start` verb of
 * containerd's shims does that and exits, so for those it is not the daemon; the daemon's is in the
 * answer to Connect. 0 while there is no connection. */
pid_t ttrpc_client_peer_pid(const ttrpc_client_t *self);

#endif
