/* Which requests were sent again lately. A client that gives a connection up and sends what it had
 * under way on another may be read there sooner, so that a message which says that it is the first
 * with its id comes last: then it is not to be believed. */
#ifndef SHIMD_BROKER_RESENT_H
#define SHIMD_BROKER_RESENT_H

#include "common/message.h"

typedef struct resent resent_t;

#define RESENT_MAX 8192 /* ids that are remembered; with more nobody is believed for the time */
#define RESENT_KEEP_MS                                                                             \
    30000 /* by then a broker has read what is there, or was replaced for hanging */

resent_t *resent_new(void);
void resent_destroy(resent_t **self);

/* A message with this id came that did not say that it is the first. `now` is monotonic, in
 * microseconds, and never less than in an earlier call. */
void resent_note(resent_t *self, const msg_uuid_t *id, int64_t now);

/* Whether a message that says so is the first with its id, as far as anyone can know. */
bool resent_is_first(resent_t *self, const msg_uuid_t *id, int64_t now);

#endif
