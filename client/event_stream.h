/* Every event once and in the journal's order: live ones from the subscription, those before it and
 * those it missed from the journal. */
#ifndef SHIMD_EVENT_STREAM_H
#define SHIMD_EVENT_STREAM_H

#include "client/session.h"

typedef struct event_stream event_stream_t;

/* What to read. */
typedef struct event_stream_options {
    const char *ns;      /* only this namespace's; NULL for all */
    bool from_seq;       /* start with `since`, otherwise with what comes after the present */
    uint64_t since;      /* 0: the oldest there is */
    bool until_now;      /* end with the newest of the journal at the start */
    uint64_t until;      /* end with this one; 0 for no end */
    msg_texts_t filters; /* only what one of them matches; borrowed, as long as the stream lives */
    bool raw; /* what shims sent that is not in the journal; with `from_seq` and an end only */
} event_stream_options_t;

/* `event` is gone after the call; it is any msgpack object that stands in the stream. */
typedef void event_stream_handler_t(void *arg, const msgpack_object *event);

/* Subscribes first and reads the journal then, so that nothing can fall between. NULL with a status
 * when there is no cluster or a filter is wrong. */
event_stream_t *event_stream_new(session_t *session, const event_stream_options_t *options,
                                 status_t *st);
void event_stream_destroy(event_stream_t **self);

/* Calls `handler` for each event until the end that was asked for, or a failure. */
status_code_t event_stream_run(event_stream_t *self, event_stream_handler_t *handler, void *arg,
                               status_t *st);

/* True when events wanted by `since` are no longer in the journal. */
bool event_stream_lost_some(const event_stream_t *self);

#endif
