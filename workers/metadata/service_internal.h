/* What the files of the service share. */
#ifndef SHIMD_METADATA_SERVICE_INTERNAL_H
#define SHIMD_METADATA_SERVICE_INTERNAL_H

#include "workers/metadata/call.h"
#include "workers/metadata/ends.h"
#include "workers/metadata/polls.h"
#include "workers/metadata/removals.h"
#include "workers/metadata/restarts.h"
#include "workers/metadata/service.h"

#define SERVICE_METHODS_MAX 64

typedef enum ns_need { NS_NONE, NS_OPTIONAL, NS_NEEDED } ns_need_t;
typedef enum access {
    READS,
    READS_LATEST, /* sees also what came before it and is not committed yet */
    WRITES,
    WAITS
} access_t;

typedef struct method {
    msg_id_t id;
    access_t access;
    ns_need_t ns;
    call_run_t *run;
    call_check_t *check; /* may be NULL */
} method_t;

struct service {
    worker_t *worker;
    store_t *store;
    batch_t *batch;
    const usage_t *usage;
    restart_delays_t delays;
    ends_t *ends;
    polls_t *polls;
    removals_t *removals;
    worker_method_t handlers[SERVICE_METHODS_MAX];
    bool is_settled; /* the request that is being answered has its outcome stored, or cannot have */
};

/* Every method, *count of them. */
const method_t *service_methods(size_t *count);
const method_t *service_method_of(const request_t *request);

/* False after having failed the request because its namespace is missing or bad. `*ret` is NULL
 * when none is needed and none was given. */
bool service_find_ns(const method_t *method, request_t *request, const char **ret);

/* A zeroed answer of the method in the request's zone. */
void *service_answer_in_zone(const method_t *method, request_t *request);

/* A copy in the zone, NULL of NULL. */
const char *service_keep_text(msgpack_zone *zone, const char *text);

/* One for each kind of access. */
worker_handler_t service_on_read, service_on_read_latest, service_on_write, service_on_fetch;

/* Runs a write whose checks are passed, with the next batch: an ends_go_t. */
void service_add_write(void *arg, request_t *request, const char *ns, const void *ask);

/* Has the logs of one container, or of all when `id` is NULL, removed that belong to no record. */
void service_sweep_logs(void *arg, const char *ns, const char *id);

/* The worker's journal, with the service as `arg`. */
extern const worker_journal_t service_outcomes;

#endif
