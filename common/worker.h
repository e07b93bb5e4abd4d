/* The skeleton of every worker: options, log, signals, the link to the broker, dispatch of requests
 * to the handlers, and the journal of outcomes that makes a request id run once. */
#ifndef SHIMD_WORKER_H
#define SHIMD_WORKER_H

#include "common/cluster.h"
#include "common/io_set.h"
#include "common/link.h"
#include "common/message.h"

typedef struct worker worker_t;

/* A request that waits for its answer. It belongs to the worker until request_answer or
 * request_fail is called, exactly one of them, once, now or later; the pointer and everything the
 * ask points to are gone after that. */
typedef struct request request_t;

/* `ask` is the decoded struct of the method. */
typedef void worker_handler_t(void *self, request_t *request, const void *ask);

typedef struct worker_method {
    msg_id_t id;
    worker_handler_t *handler;
} worker_method_t;

/* Parses the command line every worker takes (--run-dir, --root-dir, --config, --log-level, --help,
 * --version), opens the log and the loop. Exits with a sentence on standard error when that fails:
 * nobody depends on the process yet. Signals: TERM ends worker_run once all requests are answered
 * that no successor could carry on; INT without waiting for more than a few seconds. */
worker_t *worker_new(msg_service_t service, int argc, char **argv);
void worker_destroy(worker_t **self);

/* The same for a process that has its own options, loop and signals (the supervisor): the worker
 * then only has the link and the dispatch. `io` must outlive it; worker_run is not for it. NULL
 * with a status when the link cannot be made. */
worker_t *worker_attach(msg_service_t service, io_set_t *io, const cluster_t *cluster,
                        status_t *st);

io_set_t *worker_io(worker_t *self);
link_t *worker_link(worker_t *self);
const cluster_t *worker_cluster(worker_t *self);

/* The handlers; `methods` must outlive the worker. Every method of the service must be there.
 * `window` is how many requests the broker may hand over at once. */
void worker_serve(worker_t *self, const worker_method_t *methods, size_t count, void *handler_self,
                  uint32_t window);

/* Where outcomes of WRITE requests are kept. By default the metadata worker is asked; the metadata
 * worker itself gives its own. `lookup` answers through worker_looked_up; `record` calls
 * worker_recorded when the outcome is durable. Both now or later. */
typedef struct worker_journal {
    void (*lookup)(void *arg, request_t *request);
    void (*record)(void *arg, request_t *request, const msg_request_record_t *outcome);
    void *arg;
} worker_journal_t;
void worker_set_journal(worker_t *self, const worker_journal_t *journal);
void worker_looked_up(request_t *request, const msg_outcome_t *earlier /* NULL: none */);
void worker_recorded(request_t *request, const status_t *st);

/* The default `lookup` and `record`, for a journal that sometimes knows better. No journal is asked
 * about a request that comes for the first time. */
void worker_lookup_remote(request_t *request);
void worker_record_remote(request_t *request, const msg_request_record_t *outcome);

/* Told of a request for whose answer nobody waits any more: true when it was one that only waited,
 * and is out of wherever it was kept. It is answered, and gone, then. Without one they stay. */
typedef bool worker_forget_t(void *self, request_t *request);
void worker_set_forget(worker_t *self, worker_forget_t *forget);

/* Signals are blocked and read from a descriptor: a process that a worker spawns must get an empty
 * signal mask (POSIX_SPAWN_SETSIGMASK). */

/* Tells supervisor and broker that requests can come, from here on. */
void worker_ready(worker_t *self);

/* Runs until SIGTERM or SIGINT and the last answer. Returns the exit code. */
int worker_run(worker_t *self);

/* What a handler may know of its request. */
const char *request_ns(const request_t *self); /* NULL when none was given */
const msg_uuid_t *request_id(const request_t *self);
const msg_peer_t *request_peer(const request_t *self); /* NULL when the broker did not know */
int64_t request_deadline(const request_t *self);       /* ms since the epoch; 0 for none */
int64_t request_asked_at(const request_t *self);       /* ns since the epoch: when it came here */
/* Its id was not sent before, says who asked, and no other worker was given it: it cannot have been
 * carried out. */
bool request_is_first(const request_t *self);

/* For one that begins to wait only now: true when nobody waits for its answer any more. It is
 * answered, and gone, then. */
bool request_end_forgotten(request_t *self);

/* From here on until it is answered no successor could carry it on, nor tell what became of it: one
 * that is only made room for is not stopped before. Those that are never redelivered are so from
 * their beginning. */
void request_bind(request_t *self);

bool request_is_redelivered(const request_t *self);
msg_id_t request_method(const request_t *self);
const void *request_ask(const request_t *self); /* the decoded struct of the method */
msgpack_zone *request_zone(request_t *self);    /* memory that lives as long as the request */

/* The namespace, or NULL after having failed the request because it has none or a bad one. */
const char *request_require_ns(request_t *self);

/* Answers with the method's answer struct (NULL for an empty answer). */
void request_answer(request_t *self, const void *answer);
void request_fail(request_t *self, const status_t *st);

/* What is recorded of the request with that outcome; `answer` is encoded. It borrows from all
 * three.
 */
msg_request_record_t request_outcome(request_t *self, const status_t *st,
                                     const msg_bytes_t *answer);

/* The same for a WRITE whose outcome was recorded together with its effect. */
void request_answer_recorded(request_t *self, const void *answer);

#endif
