/* One DEALER connection to the broker, as clients and workers have it: asks and their answers, and
 * for workers the requests that arrive on the same socket. It outlives the broker: after a broker's
 * death everything unanswered is sent again with the same ids to its successor, which is safe
 * because an id runs once. */
#ifndef SHIMD_LINK_H
#define SHIMD_LINK_H

#include "common/io_set.h"
#include "common/message.h"

#include <czmq.h>

typedef struct link link_t;

/* Called once for each ask, from the loop and never from inside link_ask. `st` is the outcome;
 * `answer` is the decoded answer struct of the method when st->code is STATUS_OK, else NULL. It is
 * gone after the call. May ask again; may not destroy the link. */
typedef void link_reply_t(void *arg, const status_t *st, const void *answer);

/* A request for this worker. `header` is gone after the call, `body` is the handler's to close. */
typedef void link_request_t(void *arg, const msg_header_t *header, zmq_msg_t *body);

/* Called whenever a connection to a broker has been made, before anything is sent again. */
typedef void link_connect_t(void *arg);

#define LINK_PENDING_MAX 20000 /* asks without an answer; one more is RESOURCE_EXHAUSTED */

/* A link to `endpoint`, served by `io`, which must outlive it. Connecting goes on in the
 * background for ever. NULL with a status when the socket cannot be made. */
link_t *link_new(io_set_t *io, const char *endpoint, status_t *st);

/* Asks that have no answer yet get none. */
void link_destroy(link_t **self);

/* Makes this a worker's link: requests go to `on_request`, and `on_connect` says ready again. */
void link_serve(link_t *self, link_request_t *on_request, link_connect_t *on_connect, void *arg);

/* Sends a request. `ask` is the struct of `method` and is copied. `ns` may be NULL. `timeout_ms` 0
 * takes the method's own deadline; negative waits for ever. When the deadline passes without an
 * answer the outcome is DEADLINE_EXCEEDED. `id` names the request, which may have been sent before;
 * NULL makes a fresh one. Returns the id, with which link_forget can be told that nobody waits any
 * more. */
msg_uuid_t link_ask(link_t *self, msg_id_t method, const void *ask, const char *ns,
                    int64_t timeout_ms, const msg_uuid_t *id, link_reply_t *reply, void *arg);

/* The reply of this ask will not be called any more. Unknown ids are ignored. */
void link_forget(link_t *self, const msg_uuid_t *id);

/* Sends the answer to a request. `body` is moved away. A message that the socket cannot take is
 * dropped: whoever waits asks again. */
void link_answer(link_t *self, const msg_uuid_t *id, const status_t *st, zmq_msg_t *body);

/* Sends a notice, which nobody answers; `value` is its struct. */
void link_notify(link_t *self, msg_id_t notice, const void *value);

/* The loop that serves it. */
io_set_t *link_io(link_t *self);

/* For programs that do one thing at a time, not for handlers: serves the link's io_set until a
 * reply has set *done, or a signal czmq's zsys_interrupted. Returns *done. */
bool link_serve_until(link_t *self, const bool *done);

/* Asks one thing and waits for its answer with link_serve_until; CANCELLED after a signal. On OK
 * `answer` (struct of the method's answer) lives in `zone`; both may be NULL when it does not
 * matter. */
status_code_t link_call(link_t *self, msg_id_t method, const void *ask, const char *ns,
                        int64_t timeout_ms, msgpack_zone *zone, void *answer, status_t *st);

#endif
