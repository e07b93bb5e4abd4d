/* Which request deletes a task: in its bundle while it is under way, so that a successor that
 * finishes the deletion can store its outcome. */
#ifndef SHIMD_SHIM_DELETER_H
#define SHIMD_SHIM_DELETER_H

#include "common/worker.h"

typedef struct deleter {
    msg_uuid_t request; /* zero for none */
    msg_peer_t peer;
    char comm[64];    /* the peer's; "" when unknown */
    int64_t asked_at; /* ns since the epoch */
    bool force;
} deleter_t;

/* deleter.json. A failure to write is logged: then a deletion that is cut short is not known to its
 * client any more. */
void deleter_set(deleter_t *self, const char *bundle, const request_t *request, bool force);
void deleter_clear(deleter_t *self, const char *bundle);
void deleter_load(deleter_t *self, const char *bundle);

/* Into the message that ends the run; lives as long as `self`. */
void deleter_sign(deleter_t *self, msg_incarnation_end_t *ask);

#endif
