/* cluster.restart: the requests that wait for one process, and the round through all of them. A
 * round begins with the supervisor, which executes its own file again in the same process, so that
 * whatever was installed is started by the supervisor that came with it. */
#ifndef SHIMD_ROUND_H
#define SHIMD_ROUND_H

#include "broker/supervisor/member.h"
#include "common/worker.h"

#include <jansson.h>

#define ROUND_MEMBERS_MAX 8  /* processes under the supervisor */
#define ROUND_WAITERS_MAX 16 /* cluster.restart requests that wait for one process */

typedef struct round round_t;

/* The supervisor shall be replaced: round_replaced or round_not_replaced follows. */
typedef void round_replace_t(void *arg);

/* `members` (`count` pointers, in the order in which they are stopped) outlive it, as does `io`. */
round_t *round_new(io_set_t *io, member_t *const *members, size_t count, round_replace_t *replace,
                   void *arg);
void round_destroy(round_t **self);

/* A worker_handler_t's work for cluster.restart. */
void round_ask(round_t *self, request_t *request, const msg_cluster_restart_t *ask);

/* From here on restarts are refused: the cluster is being stopped. */
void round_close(round_t *self);

/* A member's state is another one: answers the restarts that waited for that, and goes on. */
void round_changed(round_t *self, const member_t *member);

/* The supervisor goes on as it was, and says why. */
void round_not_replaced(round_t *self, const status_t *st);

/* For the successor: what has to be answered and done. The requests come to it again, by the
 * broker. */
json_t *round_save(const round_t *self);

/* In the successor, once the members are what they were: goes on with the predecessor's round. */
void round_replaced(round_t *self, const json_t *state);

#endif
