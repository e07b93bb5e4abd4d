/* The supervisor as a worker: the service CLUSTER, and the notices of death it sends to the broker.
 */
#ifndef SHIMD_CONTROL_H
#define SHIMD_CONTROL_H

#include "broker/supervisor/member.h"
#include "broker/supervisor/reaper.h"

#define CONTROL_MEMBERS_MAX 8  /* processes under the supervisor */
#define CONTROL_WAITERS_MAX 16 /* cluster.restart requests that wait for one process */

typedef struct control control_t;

/* `members` (`count` pointers) and `reaper` outlive it. NULL with a status. */
control_t *control_new(const member_world_t *world, member_t *const *members, size_t count,
                       reaper_t *reaper, status_t *st);
void control_destroy(control_t **self);

/* From here on restarts are refused: the cluster is being stopped. */
void control_close(control_t *self);

/* A member's state is another one: answers the restarts that waited for that. */
void control_changed(control_t *self, const member_t *member);

/* Tells the broker that process `pid` of a member is dead, with its obituary. */
void control_tell_death(control_t *self, const member_t *member, pid_t pid);

#endif
