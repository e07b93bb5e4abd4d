/* A running shim process: its connection, its life, and the tasks that share it. */
#ifndef SHIMD_SHIM_SHIM_H
#define SHIMD_SHIM_SHIM_H

#include "common/io_set.h"
#include "common/ttrpc_client.h"
#include "workers/shim/record.h"

#define SHIM_CONNECT_MS 2000 /* while its backlog is full */
#define SHIM_RECONNECT_MS                                                                          \
    500 /* between attempts at a shim that lives and does not take connections */

typedef struct shim shim_t;

/* The shim's process has ended; called once. Its calls have all been answered before. */
typedef void shim_gone_t(void *arg, shim_t *shim);

/* The connection was lost and made again: what waits in the shim must be asked again. */
typedef void shim_back_t(void *arg, shim_t *shim);

/* Connects to `endpoint`. UNAVAILABLE when nobody listens there. */
shim_t *shim_connect(io_set_t *io, const endpoint_t *endpoint, shim_gone_t *gone, shim_back_t *back,
                     void *arg, status_t *st);

/* Forgets a shim that is gone, or one that nobody waits for: calls that are not answered are not
 * any more. */
void shim_destroy(shim_t **self);

/* Watches the process for its end, from the pid that Connect told, or that was recorded together
 * with its start time (0: not known). FAILED_PRECONDITION when there is no such process: then it is
 * gone already. Does nothing when it is watched. */
status_code_t shim_watch(shim_t *self, uint32_t pid, uint64_t start_time, status_t *st);

/* The same for a shim that does not tell its pid: it is the process that listens on its socket. */
status_code_t shim_seek(shim_t *self, status_t *st);

/* Calls a method of the Task service in the version the shim speaks; as ttrpc_client_call, but that
 * it waits for a connection that was lost to be made again. */
void shim_call(shim_t *self, const char *method, const ProtobufCMessage *request,
               int64_t timeout_ms, const char *ns, ttrpc_reply_t *reply, void *arg);

/* Speaks version 2 from here on, to a shim that has announced 3 and does not know it. */
void shim_downgrade(shim_t *self);

const endpoint_t *shim_endpoint(const shim_t *self);

/* Hands its connection to the keeper, unless that was done since it was made or since
 * shim_not_kept: what the shim is asked is finished even if we die meanwhile. That is tried when a
 * connection is made; false when the keeper cannot take it yet, or it is not made yet because the
 * shim's backlog is full. */
bool shim_keep(shim_t *self);
void shim_not_kept(shim_t *self);

/* Tasks that use it; the count is the callers'. */
unsigned *shim_users(shim_t *self);

bool shim_is_gone(const shim_t *self);

/* From here on its end is wanted, and told to `gone` instead. */
void shim_expect_end(shim_t *self, shim_gone_t *gone, void *arg);

/* Kills it; shim_gone follows. False when its process is not known, or is gone. */
bool shim_kill(shim_t *self);

/* Removes the socket file a dead shim left at that address. */
void shim_remove_socket(const char *address);

#endif
