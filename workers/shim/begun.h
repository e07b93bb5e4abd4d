/* How far the requests for a task have got, in its bundle: what a successor needs to know of one
 * that comes again and has no outcome in the journal. */
#ifndef SHIMD_SHIM_BEGUN_H
#define SHIMD_SHIM_BEGUN_H

#include "common/message.h"

#include <stdbool.h>

#define BEGUN_MAX 2048 /* remembered of a task; then half of them are forgotten */

typedef enum begun_kind {
    BEGUN_DONE = 'd',     /* it was carried out, as far as it got */
    BEGUN_ANSWERED = 'a', /* it came off and was answered; the journal may not have that yet */
    BEGUN_RECORDED = 'r', /* takes the place of BEGUN_ANSWERED once the journal has it */
} begun_kind_t;

typedef struct begun_entry {
    msg_uuid_t id;
    char kind;
} begun_entry_t;

typedef struct begun {
    begun_entry_t *entries; /* oldest first */
    size_t count;
} begun_t;

/* Reads what a predecessor wrote, and what was added since. */
void begun_load(begun_t *self, const char *bundle);

/* Adds an entry, without fsync, as all of a bundle. False when it could not be written: a successor
 * will not know. */
bool begun_add(begun_t *self, const char *bundle, const msg_uuid_t *id, begun_kind_t kind);

bool begun_has(const begun_t *self, const msg_uuid_t *id, begun_kind_t kind);
void begun_clear(begun_t *self);

#endif
