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

    io_timer_t heartbeat, ending;
    int signals; /* signalfd, -1 when attached */
    bool is_ready, stopping;
    bool released;                           /* by the broker, after our goodbye */
    int64_t release_deadline, stop_deadline; /* monotonic ms */
};

/* A request from the link: decodes it, looks its id up when it must run once, and calls the
 * handler. */
void request_begin(worker_t *worker, const msg_header_t *header, zmq_msg_t *body);

/* Nobody waits for its answer any more. */
void request_forget(worker_t *worker, const msg_uuid_t *id);

/* How many requests would lose something if the process ended now. */
size_t request_count_mutating(worker_t *worker);

/* A table of requests by id, which owns them. */
zhashx_t *request_table_new(void);

/* The default journal: asks the metadata worker. */
extern const worker_journal_t request_journal_remote;

#endif
