/* Outcomes of the worker's own requests: those of writes are stored with them, those of what was
 * refused before it came to a transaction in one of their own. */
#include "workers/metadata/service_internal.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/requests.h"

#include <assert.h>

/* A read transaction will do: the worker keeps a second request with an id that is being worked on
 * away, so nothing can be stored for it between here and its own transaction. */
static void lookup(void *arg, request_t *request)
{
    service_t *self = arg;
    status_t st;
    msg_outcome_t earlier;
    if (request_is_first(request)) {
        worker_looked_up(request, NULL);
        return;
    }
    AUTO(txn)
    txn = txn_read(self->store, &st);
    bool found = txn && requests_find(txn, request_id(request), request_zone(request), &earlier);
    if (txn && !txn_status(txn, &st)) {
        worker_looked_up(request, found ? &earlier : NULL);
        return;
    }
    self->is_settled = true; /* what cannot be read cannot be told to have failed either */
    request_fail(request, &st);
    self->is_settled = false;
}

/* The outcome of a request that was refused before it came to a transaction. */
typedef struct refusal {
    request_t *request;
    msg_request_record_t record;
    int64_t now;
} refusal_t;

static void run_refusal(void *arg, txn_t *txn)
{
    refusal_t *self = arg;
    requests_keep(txn, &self->record, self->now);
}

/* The request changed nothing, so its answer is good whether it was stored or not. */
static void answer_refusal(void *arg, const status_t *st)
{
    AUTO_FREE refusal_t *self = arg;
    static const status_t ok;
    if (st->code)
        log_warn("%s: refusal not recorded: %s", self->record.method, st->text);
    worker_recorded(self->request, &ok);
}

static void record(void *arg, request_t *request, const msg_request_record_t *outcome)
{
    service_t *self = arg;
    static const status_t ok;
    if (self->is_settled) {
        worker_recorded(request, &ok);
        return;
    }
    assert(outcome->status); /* successes come from transactions, with their outcome */
    refusal_t *refusal = zmalloc(sizeof *refusal);
    *refusal = (refusal_t){.request = request, .record = *outcome, .now = util_now_ns()};
    refusal->record.answer = (msg_bytes_t){.data = NULL};
    refusal->record.ns = request_ns(request);
    refusal->record.message = service_keep_text(request_zone(request), outcome->message);
    refusal->record.peer = request_peer(request);
    batch_add(self->batch, run_refusal, answer_refusal, refusal);
}

const worker_journal_t service_outcomes = {.lookup = lookup, .record = record};
