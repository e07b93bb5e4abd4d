/* incarnation.end requests that wait. */
#include "workers/metadata/ends.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/incarnations.h"

#define TICK_MS 50

typedef struct end {
    request_t *request; /* lends `ns` and `ask` */
    const char *ns;
    const msg_incarnation_end_t *ask;
    int64_t deadline; /* monotonic us */
} end_t;

struct ends {
    io_set_t *io;
    store_t *store;
    ends_go_t *go;
    void *arg;
    zlistx_t *waiting; /* end_t, oldest first; owns them */
    io_timer_t tick;   /* set while something waits */
};

static void end_destroy(void **item)
{
    free(*item);
    *item = NULL;
}

static void on_tick(void *arg);

ends_t *ends_new(io_set_t *io, store_t *store, ends_go_t *go, void *arg)
{
    ends_t *self = zmalloc(sizeof *self);
    *self = (ends_t){.io = io, .store = store, .go = go, .arg = arg};
    io_timer_init(&self->tick, on_tick, self);
    self->waiting = zlistx_new();
    zlistx_set_destructor(self->waiting, end_destroy);
    return self;
}

void ends_destroy(ends_t **self_p)
{
    ends_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->tick);
    zlistx_destroy(&self->waiting);
    free(self);
    *self_p = NULL;
}

/* Lets the one the list's cursor stands on go. */
static void let_go(ends_t *self, const end_t *end)
{
    end_t gone = *end;
    zlistx_delete(self->waiting, zlistx_cursor(self->waiting));
    self->go(self->arg, gone.request, gone.ns, gone.ask);
}

static void on_tick(void *arg)
{
    ends_t *self = arg;
    int64_t now = util_monotonic_us();
    for (end_t *end = zlistx_first(self->waiting); end && end->deadline <= now;
         end = zlistx_first(self->waiting)) {
        log_debug("task %s/%s: its shim sent no exit and delete events", end->ns, end->ask->id);
        let_go(self, end);
    }
    if (zlistx_size(self->waiting))
        io_timer_in(self->io, &self->tick, TICK_MS);
}

/* In doubt it is: the write meets the same trouble and tells it. */
static bool is_complete(ends_t *self, const char *ns, const msg_incarnation_end_t *ask)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(self->store, &st);
    return !txn || incarnations_is_complete(txn, ns, ask);
}

bool ends_park(ends_t *self, request_t *request, const char *ns, const msg_incarnation_end_t *ask)
{
    if (is_complete(self, ns, ask))
        return false;
    end_t *end = zmalloc(sizeof *end);
    *end = (end_t){.request = request,
                   .ns = ns,
                   .ask = ask,
                   .deadline = util_monotonic_us() + ENDS_WAIT_MS * 1000};
    zlistx_add_end(self->waiting, end);
    if (!self->tick.is_set)
        io_timer_in(self->io, &self->tick, TICK_MS);
    return true;
}

static end_t *find_complete(ends_t *self, const char *ns, const char *id)
{
    end_t *end = zlistx_first(self->waiting);
    while (end && ((id && (strcmp(end->ask->id, id) || strcmp(end->ns, ns))) ||
                   !is_complete(self, end->ns, end->ask)))
        end = zlistx_next(self->waiting);
    return end;
}

void ends_on_task_event(ends_t *self, const char *ns, const char *id)
{
    end_t *end;
    while ((end = find_complete(self, ns, id)))
        let_go(self, end);
}
