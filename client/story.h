/* All that the cluster knows of one container, past and present: its events, what was asked about
 * it and by whom, how its processes ended, and how it is now. */
#ifndef SHIMD_STORY_H
#define SHIMD_STORY_H

#include "client/session.h"

#define STORY_MAX                                                                                  \
    20000 /* events, and requests; of more the newest events and the oldest requests */

typedef struct story_event {
    uint64_t seq;
    int64_t time; /* ns since the epoch */
    const char *topic, *origin;
    const char *evidence;         /* NULL for none */
    const char *incarnation;      /* "" where it belongs to none */
    const char *exec_id;          /* NULL when it is about none */
    const msgpack_object *fields; /* NULL when they are not known */
    const msgpack_object *object; /* the event map */
} story_event_t;

typedef struct story {
    const char *ns, *id;
    const msg_container_t *container; /* NULL when there is no record */
    const msg_process_t *task;        /* NULL when there is none, or it could not be asked for */
    const char *task_unknown;         /* why it could not; NULL when it could */
    story_event_t *events;            /* oldest first */
    size_t event_count;
    msg_outcome_t *requests; /* in the order in which they were asked */
    size_t request_count;
    msg_pending_request_t *pending; /* likewise */
    size_t pending_count;
    msg_exit_record_t *exits; /* newest first */
    size_t exit_count;
    bool is_cut; /* there was more before */
} story_t;

/* Asks for all of it; it lives in session_zone. NOT_FOUND when nothing is known of that id. */
status_code_t story_collect(session_t *session, const char *id, story_t *ret, status_t *st);

/* The number under that key of an event's fields; 0 when there is none. */
uint64_t story_number(const story_event_t *event, const char *key);

/* Whether the flag under that key is set. */
bool story_is_set(const story_event_t *event, const char *key);

/* The newest run: its incarnation, "" when there was none. */
const char *story_run(const story_t *self);

/* How a process of that run ended, NULL for init; NULL when that is not recorded. */
const msg_exit_record_t *story_exit(const story_t *self, const char *incarnation,
                                    const char *exec_id);

/* What a request asked under that name; NULL when it did not. */
const char *story_asked(const msg_outcome_t *request, const char *name);

#endif
