/* The life of the service, and what it is told from elsewhere. */
#include "workers/metadata/service_internal.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/subscribers.h"

/* Requests the broker may hand over at once. An incarnation.end keeps its place while it waits for
 * a shim's events, which do not come through the broker; an event.fetch while it waits for events,
 * of which each subscriber has one at most. */
#define WINDOW (256 + SUBSCRIBERS_MAX)

#define DAY_NS ((int64_t)24 * 3600 * 1000000000)

void service_on_events(service_t *self)
{
    polls_on_events(self->polls);
}

void service_begin(service_t *self)
{
    status_t st;
    service_sweep_logs(self, NULL, NULL);
    if (!removals_begin(self->removals, &st))
        log_error("find the containers that are to be removed: %s", st.text);
}

void service_on_task_event(service_t *self, const char *ns, const char *id)
{
    ends_on_task_event(self->ends, ns, id);
}

static worker_handler_t *const handlers[] = {[READS] = service_on_read,
                                             [READS_LATEST] = service_on_read_latest,
                                             [WRITES] = service_on_write,
                                             [WAITS] = service_on_fetch};

service_t *service_new(worker_t *worker, store_t *store, batch_t *batch, const settings_t *settings,
                       const usage_t *usage, status_t *st)
{
    polls_t *polls =
        polls_new(worker_io(worker), store, batch, settings->subscriber_idle * DAY_NS, st);
    if (!polls)
        return NULL;
    service_t *self = zmalloc(sizeof *self);
    *self = (service_t){.worker = worker,
                        .store = store,
                        .batch = batch,
                        .usage = usage,
                        .delays = settings->restarts,
                        .polls = polls};
    self->removals = removals_new(&(removals_tools_t){.io = worker_io(worker),
                                                      .link = worker_link(worker),
                                                      .store = store,
                                                      .batch = batch,
                                                      .run_dir = worker_cluster(worker)->run_dir,
                                                      .done = service_sweep_logs,
                                                      .arg = self});
    self->ends = ends_new(worker_io(worker), store, service_add_write, self);
    size_t count;
    const method_t *methods = service_methods(&count);
    for (size_t i = 0; i < count; i++)
        self->handlers[i] =
            (worker_method_t){.id = methods[i].id, .handler = handlers[methods[i].access]};
    worker_serve(worker, self->handlers, count, self, WINDOW);
    worker_journal_t journal = service_outcomes;
    journal.arg = self;
    worker_set_journal(worker, &journal);
    return self;
}

void service_destroy(service_t **self_p)
{
    service_t *self = *self_p;
    if (!self)
        return;
    polls_destroy(&self->polls);
    ends_destroy(&self->ends);
    removals_destroy(&self->removals);
    free(self);
    *self_p = NULL;
}
