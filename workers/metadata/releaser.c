/* Releases held events. */
#include "workers/metadata/releaser.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/held.h"
#include "workers/metadata/run.h"

#define TICK_MS 100

struct releaser {
    io_set_t *io;
    store_t *store;
    batch_t *batch;
    releaser_told_t *told;
    void *arg;
    io_timer_t tick;
    uint64_t looked; /* batch_count when nothing was held */
    bool is_running; /* a release is in the batch */
};

static void run(void *arg, txn_t *txn)
{
    (void)arg;
    run_release_due(txn, util_now_ns());
}

static void done(void *arg, const status_t *st)
{
    releaser_t *self = arg;
    self->is_running = false;
    if (st->code)
        log_warn("held events: %s", st->text);
    else
        self->told(self->arg);
}

/* Whether one is due; whatever cannot be read now is read again at the next tick. */
static bool look(releaser_t *self)
{
    int64_t deadline;
    store_key_t key;
    uint64_t number;
    status_t st;
    AUTO(txn)
    txn = txn_read(self->store, &st);
    if (!txn)
        return false;
    bool any = held_first_due(txn, &deadline, &key, &number);
    if (!any && !txn_error(txn))
        self->looked = batch_count(self->batch);
    return any && run_is_due(deadline, util_now_ns());
}

/* Nothing is held without an operation of the batch. */
static void on_tick(void *arg)
{
    releaser_t *self = arg;
    io_timer_in(self->io, &self->tick, TICK_MS);
    if (self->is_running || batch_waiting(self->batch) ||
        batch_count(self->batch) == self->looked || !look(self))
        return;
    self->is_running = true;
    batch_add(self->batch, run, done, self);
}

releaser_t *releaser_new(io_set_t *io, store_t *store, batch_t *batch, releaser_told_t *told,
                         void *arg)
{
    releaser_t *self = zmalloc(sizeof *self);
    *self = (releaser_t){
        .io = io, .store = store, .batch = batch, .told = told, .arg = arg, .looked = UINT64_MAX};
    io_timer_init(&self->tick, on_tick, self);
    io_timer_in(io, &self->tick, TICK_MS);
    return self;
}

void releaser_destroy(releaser_t **self_p)
{
    releaser_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->tick);
    free(self);
    *self_p = NULL;
}
