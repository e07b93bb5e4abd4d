/* Methods that read: answered at once, those of the latest after what waits to be committed. */
#include "workers/metadata/service_internal.h"

#include "common/util.h"

void service_on_read(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    const method_t *method = service_method_of(request);
    call_t call = {
        .ask = ask, .zone = request_zone(request), .now = util_now_ns(), .usage = self->usage};
    status_t st = {.code = STATUS_OK};
    if (!service_find_ns(method, request, &call.ns))
        return;
    if (method->check && method->check(ask, &st)) {
        request_fail(request, &st);
        return;
    }
    call.answer = service_answer_in_zone(method, request);
    AUTO(txn)
    txn = txn_read(self->store, &st);
    if (txn)
        method->run(txn, &call, &st);
    if (txn && txn_error(txn))
        txn_status(txn, &st);
    if (st.code)
        request_fail(request, &st);
    else
        request_answer(request, call.answer);
}

typedef struct late_read {
    service_t *service;
    request_t *request;
    const void *ask;
} late_read_t;

static void run_nothing(void *arg, txn_t *txn)
{
    (void)arg;
    (void)txn;
}

static void read_now(void *arg, const status_t *st)
{
    AUTO_FREE late_read_t *self = arg;
    (void)st; /* of the writes before it, whose requests are told */
    service_on_read(self->service, self->request, self->ask);
}

void service_on_read_latest(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    if (batch_waiting(self->batch) == 0) {
        service_on_read(self, request, ask);
        return;
    }
    late_read_t *late = zmalloc(sizeof *late);
    *late = (late_read_t){.service = self, .request = request, .ask = ask};
    batch_add(self->batch, run_nothing, read_now, late);
}

/* The one method whose answer may have to wait for an event. */
void service_on_fetch(void *arg, request_t *request, const void *ask)
{
    service_t *self = arg;
    const char *ns;
    if (service_find_ns(service_method_of(request), request, &ns))
        polls_fetch(self->polls, request, ns, ask);
}
