/* Mends what reads have found damaged. */
#include "workers/metadata/mender.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/mend.h"

#define TICK_MS 200
#define AT_ONCE 16 /* records in one batch, for which the journal is walked over once or twice */

struct mender {
    io_set_t *io;
    store_t *store;
    batch_t *batch;
    io_timer_t tick;
    size_t running; /* records that are in the batch */
    uint64_t count;
};

static void run(void *arg, txn_t *txn)
{
    mender_t *self = arg;
    size_t count;
    const store_lost_t *lost = store_lost(self->store, &count);
    mend_records(txn, lost, self->running < count ? self->running : count);
}

/* What could not be mended now is noted again when it is read. */
static void done(void *arg, const status_t *st)
{
    mender_t *self = arg;
    store_forget_lost(self->store, self->running);
    if (st->code)
        log_warn("store: mend %zu records: %s", self->running, st->text);
    else
        self->count += self->running;
    self->running = 0;
}

static void look(mender_t *self)
{
    size_t count;
    store_lost(self->store, &count);
    if (self->running || !count)
        return;
    self->running = count < AT_ONCE ? count : AT_ONCE;
    batch_add(self->batch, run, done, self);
}

static void on_tick(void *arg)
{
    mender_t *self = arg;
    io_timer_in(self->io, &self->tick, TICK_MS);
    look(self);
}

mender_t *mender_new(io_set_t *io, store_t *store, batch_t *batch)
{
    mender_t *self = zmalloc(sizeof *self);
    size_t count, before = SIZE_MAX;
    *self = (mender_t){.io = io, .store = store, .batch = batch};
    /* Before anything is appended: the last event may be among them. */
    for (store_lost(store, &count); count && count < before; store_lost(store, &count)) {
        before = count;
        look(self);
        batch_commit(batch);
    }
    io_timer_init(&self->tick, on_tick, self);
    io_timer_in(io, &self->tick, TICK_MS);
    return self;
}

void mender_destroy(mender_t **self_p)
{
    mender_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->tick);
    free(self);
    *self_p = NULL;
}

uint64_t mender_count(const mender_t *self)
{
    return self->count;
}
