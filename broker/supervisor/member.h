/* One of the four processes under the supervisor: the child table's host, that is the process
 * itself, its readiness pipe, its timer and the record of its last death. */
#ifndef SHIMD_MEMBER_H
#define SHIMD_MEMBER_H

#include "broker/supervisor/child.h"
#include "broker/supervisor/keeper.h"
#include "broker/supervisor/listener.h"
#include "broker/supervisor/obituary.h"
#include "common/io_set.h"

#include <czmq.h>
#include <jansson.h>

/* What every member is made from; all of it outlives them. */
typedef struct member_world {
    io_set_t *io;
    const cluster_t *cluster;
    const listeners_t *listeners;
    const child_policy_t *policy;
    keeper_t *keeper;
    const char *libexec; /* directory of the executables */
    int lock_fd;
} member_world_t;

typedef struct member member_t;

/* The member's state is another one. May handle events of other members, not of this one. */
typedef void member_changed_t(void *arg, member_t *member, child_state_t before);

/* `name` ("shim") and `sockets` must outlive it; `path` is the executable's, and is copied. */
member_t *member_new(const member_world_t *world, const char *name, const char *path,
                     const cluster_socket_t *sockets, size_t socket_count,
                     member_changed_t *on_changed, void *arg);

/* Kills the process, if there is one, and does not wait for it. */
void member_destroy(member_t **self);

/* What it is, for a successor in the same process; it has no process any more after that, so that
 * member_destroy leaves the one that it had alone. */
json_t *member_hand_over(member_t *self);

/* Takes that up in a new one. Calls nobody back. False when the state is none. */
bool member_restore(member_t *self, const json_t *state);

/* CHILD_START, CHILD_STOP or CHILD_RESTART; the others come from the process and the clock. */
void member_handle(member_t *self, child_event_t event);

/* Kills the process, if there is one: it does not hear any more. Its death is followed by a start,
 * like any other. */
void member_kill(member_t *self);

/* Its process, which is `member_pid`, has been reaped. Afterwards member_obituary is about that
 * one. */
void member_reaped(member_t *self, int wait_status);

const char *member_name(const member_t *self);
child_state_t member_state(const member_t *self);
pid_t member_pid(const member_t *self);            /* 0 when there is none */
int64_t member_uptime_ms(const member_t *self);    /* of the process; 0 when there is none */
uint32_t member_restarts(const member_t *self);    /* processes after the first */
const char *member_obituary(const member_t *self); /* NULL before the first death */

#endif
