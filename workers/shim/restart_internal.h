/* What restart.c and restart_stop.c share. */
#ifndef SHIMD_SHIM_RESTART_INTERNAL_H
#define SHIMD_SHIM_RESTART_INTERNAL_H

#include "workers/shim/restart.h"

typedef struct restart {
    manager_t *manager;
    char ns[77], id[77];
    char key[160];
    char run[UTIL_UUID_SIZE]; /* that is to be followed by another */
    uint32_t attempt;
    bool terminal;
    char *out, *err; /* owned */
    io_timer_t timer;
    unsigned retries;   /* of one request */
    uint32_t failed;    /* requests to delete the run, whose answers stand by their ids */
    bool is_busy;       /* a request is on its way */
    bool is_stopped;    /* to be given up, as soon as that is answered */
    zlistx_t *stoppers; /* request_t of those who stopped it; not owned */
    char failure[STATUS_TEXT_SIZE];
} restart_t;

/* The id of one of its requests. */
msg_uuid_t restart_request_id(const char *run, const char *what, uint32_t attempt);

/* The id of the request that deletes a run, after so many that failed; and whether a request is one
 * of these. */
msg_uuid_t restart_delete_id(const char *run, uint32_t failed);
bool restart_is_delete_of(const char *run, const request_t *request);

/* An answer finds its restart by name: it may be over by then. */
typedef struct restart_asked {
    manager_t *manager;
    char ns[77], id[77], run[UTIL_UUID_SIZE];
    uint32_t attempt;
} restart_asked_t;

/* Asks, with the restart busy until `reply`, which gets a restart_asked_t, has called
 * restart_answered. That frees it, and returns the restart, or NULL when there is nothing more to
 * do about it: it is over, or the timer will have it ask again. */
void restart_ask(restart_t *self, msg_id_t method, const void *message, int64_t timeout_ms,
                 const msg_uuid_t *id, link_reply_t *reply);
restart_t *restart_answered(void *arg, const status_t *st);

restart_t *restart_find(manager_t *self, const char *ns, const char *id);
void restart_remove(restart_t *self); /* frees it */

/* It is given up: that is noted, then it is removed and its stoppers are served. Nothing may be on
 * its way. */
void restart_give_up(restart_t *self);

#endif
