/* The supervisor as a worker: the service CLUSTER, and the notices of death it sends to the broker.
 */
#ifndef SHIMD_CONTROL_H
#define SHIMD_CONTROL_H

#include "broker/supervisor/member.h"
#include "broker/supervisor/reaper.h"
#include "broker/supervisor/round.h"

typedef struct control control_t;

/* `members` (`count` pointers), `reaper` and `round` outlive it. `replacements` is how many
 * supervisors there were before this one in the same process. NULL with a status. */
control_t *control_new(const member_world_t *world, member_t *const *members, size_t count,
                       reaper_t *reaper, round_t *round, uint32_t replacements, status_t *st);
void control_destroy(control_t **self);

/* From here on a silent broker is nobody's concern: the cluster is being stopped. */
void control_close(control_t *self);

/* Tells the broker that process `pid` of a member is dead, with its obituary. */
void control_tell_death(control_t *self, const member_t *member, pid_t pid);

#endif
