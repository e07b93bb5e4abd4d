/* What worker.c (process and link) and request.c (one request's life) share. */
#ifndef SHIMD_WORKER_INTERNAL_H
#define SHIMD_WORKER_INTERNAL_H

#include "common/io_timer.h"
#include "common/worker.h"

struct worker {
    msg_service_t service;
    io_set_t *io;
    cluster_t cluster;
    link_t *link;
    bool owns_io;

    const worker_method_t *methods;
    size_t method_count;
    void *handler_self;
    uint32_t window;
    worker_journal_t journal;
    worker_forget_t *forget; /* may be NULL */
    zhashx_t *requests;      /* request_t by id: everything not answered yet; owns them */

    io_timer_t heartbeat;
    int signals; /* signalfd, -1 when attached */
    bool is_ready;

    /* The way out (worker_stop.c). */
    io_timer_t ending;
    bool is_told_to_end;
    bool stopping;                           /* goodbye is said */
    bool released;                           /* by the broker, after our goodbye */
    bool is_unheard;                         /* a bound request was answered since the goodbye */
    bool keeps_back;                         /* what is bound from its beginning is not begun */
    zlistx_t *kept_back;                     /* msg_uuid_t, owned: given back with the goodbye */
    int64_t bound_until;                     /* monotonic us: what came before is waited for */
    int64_t serve_until, busy_due;           /* monotonic ms; 0 for a hurry */
    int64_t release_deadline, stop_deadline; /* monotonic ms */
};

/* Takes the first steps of the way out; in a hurry nothing is waited for but what is waited for
 * after a goodbye. Again, to make it hurry. */
void worker_stop(worker_t *worker, bool in_a_hurry);

/* The handler of `ending`. */
void worker_stop_look(void *worker);

void worker_say_goodbye(worker_t *worker);

/* True when the request, which is bound from its beginning, is not to be begun: it is given back to
 * the broker, now or with the goodbye. */
bool worker_keeps_back(worker_t *worker, const msg_uuid_t *id);

/* A broker that comes now does not know them. */
void worker_forget_kept_back(worker_t *worker);

/* A request from the link: decodes it, looks its id up when it must run once, and calls the
 * handler. */
void request_begin(worker_t *worker, const msg_header_t *header, zmq_msg_t *body);

/* Nobody waits for its answer any more. */
void request_forget(worker_t *worker, const msg_uuid_t *id);

/* How many requests would lose something if the process ended now. */
size_t request_count_mutating(worker_t *worker);

/* How many of those that had come by then (util_monotonic_us) are bound to this process. */
size_t request_count_bound(worker_t *worker, int64_t begun_by);

/* A table of requests by id, which owns them. */
zhashx_t *request_table_new(void);

/* The default journal: asks the metadata worker. */
extern const worker_journal_t request_journal_remote;

#endif
