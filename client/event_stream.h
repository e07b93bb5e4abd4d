/* Every event once and in the journal's order: live ones from the subscription, those before it and
 * those it missed from the journal. */
#ifndef SHIMD_EVENT_STREAM_H
#define SHIMD_EVENT_STREAM_H

#include "client/event_where.h"

typedef struct event_stream event_stream_t;

/* What to read. */
typedef struct event_stream_options {
    const char *ns;      /* only this namespace's; NULL for all */
    event_where_t since; /* NONE and NOW: what comes after the present; number 0: the oldest */
    event_where_t until; /* NONE: no end; NOW: the newest of the journal at the start */
    msg_texts_t filters; /* only what one of them matches; borrowed, as long as the stream lives */
    bool raw;            /* what shims sent that is not in the journal; with both ends only */
} event_stream_options_t;

/* `event` is gone after the call; it is any msgpack object that stands in the stream. */
typedef void event_stream_handler_t(void *arg, const msgpack_object *event);

/* Wanted events with these numbers are no longer in the journal; some of those up to `last` when
 * `first` is 0. */
typedef void event_stream_gap_t(void *arg, uint64_t first, uint64_t last);

/* Calls `gap` if the page, asked for from `since` on, says that something is gone and it was not
 * told of yet. `is_of_one` namespace. `*told` is kept for the next page. */
void event_stream_tell_gap(const msg_event_page_t *page, uint64_t since, bool is_of_one,
                           uint64_t *told, event_stream_gap_t *gap, void *arg);

/* Subscribes first and reads the journal then, so that nothing can fall between. NULL with a status
 * when there is no cluster or a filter is wrong. */
event_stream_t *event_stream_new(session_t *session, const event_stream_options_t *options,
                                 status_t *st);
void event_stream_destroy(event_stream_t **self);

/* Calls `handler` for each event until the end that was asked for, or a failure, and `gap` in the
 * place of what is gone. */
status_code_t event_stream_run(event_stream_t *self, event_stream_handler_t *handler,
                               event_stream_gap_t *gap, void *arg, status_t *st);

#endif
