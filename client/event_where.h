/* Places in the journal as people write them: a number, a time, or how long ago. */
#ifndef SHIMD_EVENT_WHERE_H
#define SHIMD_EVENT_WHERE_H

#include "client/session.h"

typedef enum event_where_kind {
    EVENT_WHERE_NONE, /* it was not said */
    EVENT_WHERE_SEQ,
    EVENT_WHERE_TIME,
    EVENT_WHERE_NOW, /* what there is at the start */
} event_where_kind_t;

typedef struct event_where {
    event_where_kind_t kind;
    uint64_t seq;
    int64_t time; /* ns since the epoch */
} event_where_t;

/* Reads "123", a sequence number; "now"; "@1700000000", seconds since the epoch; and a moment as
 * arguments_moment takes it otherwise. INVALID_ARGUMENT, beginning with `what`. */
status_code_t event_where_read(const char *what, const char *text, event_where_t *ret,
                               status_t *st);

/* The same for an option's value. `*ret` stays as it is when it was not given. */
status_code_t event_where_option(const options_t *options, const char *name, event_where_t *ret,
                                 status_t *st);

/* A sequence number and nothing else. */
bool event_where_number(const char *text, uint64_t *ret);

/* Where a new subscriber begins: number 0 is the oldest event there is. */
void event_where_begin(const event_where_t *self, msg_event_subscribe_t *ret);

/* Events are of all namespaces unless one was named on the command line. */
bool event_where_is_all(const session_t *session);

#endif
