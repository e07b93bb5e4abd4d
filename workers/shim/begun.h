/* The requests that have begun to change a task, in its bundle: what a successor needs to tell a
 * request that comes again from one that is new. The broker's word is not enough, for it may have
 * died with the worker. */
#ifndef SHIMD_SHIM_BEGUN_H
#define SHIMD_SHIM_BEGUN_H

#include "common/message.h"

#include <stdbool.h>

#define BEGUN_MAX                                                                                  \
    1024 /* requests that are remembered of a task; then half of them are forgotten                \
          */

typedef struct begun {
    msg_uuid_t *ids; /* oldest first */
    size_t count;
} begun_t;

/* Reads what a predecessor wrote. */
void begun_load(begun_t *self, const char *bundle);

/* The request is about to be carried out: written down before, so that it is known whatever
 * happens. Without fsync, as all of a bundle. */
void begun_add(begun_t *self, const char *bundle, const msg_uuid_t *id);

bool begun_has(const begun_t *self, const msg_uuid_t *id);
void begun_clear(begun_t *self);

#endif
