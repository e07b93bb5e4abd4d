/* Events for a named subscriber: the cluster keeps its place, and what is not acknowledged comes
 * again. */
#ifndef SHIMD_SUBSCRIPTION_H
#define SHIMD_SUBSCRIPTION_H

#include "client/event_stream.h"

typedef struct subscription_options {
    msg_event_subscribe_t begin; /* name, filters, and where a new one begins */
    bool until_now;              /* end with the newest of the journal at the start */
    bool no_ack;                 /* leave acknowledging to others */
} subscription_options_t;

/* Makes the subscriber, unless it is there, and reads for it: calls `handler` for each event, and
 * acknowledges a page of them when all have been handled; `gap` where the journal no longer has
 * what comes next. Goes on after a death of the cluster's processes. Returns at the end that was
 * asked for, or with a failure; ABORTED when another client reads for it. */
status_code_t subscription_run(session_t *session, const subscription_options_t *options,
                               event_stream_handler_t *handler, event_stream_gap_t *gap, void *arg,
                               status_t *st);

#endif
