/* Mends what reads have found damaged. */
#include "workers/metadata/mender.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/mend.h"

#include <string.h>

#define TICK_MS 200
#define NEXT_MS 10 /* from one piece of the journal to the next */

struct mender {
    io_set_t *io;
    store_t *store;
    batch_t *batch;
    io_timer_t tick;
    store_lost_t lost[STORE_LOST_MAX]; /* that are being mended */
    size_t lost_count;
    bool is_in_batch;
    mend_walk_t *walk; /* what the journal is read for; NULL for nothing */
    uint64_t count;
};

/* What takes the journal ------------------------------------------------------------------------
 */

/* When it is run a second time the walk is used up. */
static void finish(void *arg, txn_t *txn)
{
    mender_t *self = arg;
    mend_walk_t *walk = TAKE(self->walk);
    if (!walk)
        walk = mend_walk_new(txn, self->lost, self->lost_count, true);
    mend_walk_finish(&walk, txn);
}

static void finished(void *arg, const status_t *st)
{
    mender_t *self = arg;
    self->is_in_batch = false;
    if (st->code)
        log_warn("store: make again what was lost: %s", st->text);
}

static void begin_finish(mender_t *self)
{
    self->is_in_batch = true;
    batch_add(self->batch, finish, finished, self);
}

static void read_on(mender_t *self)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(self->store, &st);
    if (txn && !mend_walk_read(self->walk, txn, MENDER_PIECE))
        begin_finish(self);
}

/* The rest --------------------------------------------------------------------------------------
 */

static void mend(void *arg, txn_t *txn)
{
    mender_t *self = arg;
    mend_walk_destroy(&self->walk); /* of a run before */
    self->walk = mend_records(txn, self->lost, self->lost_count);
}

/* What could not be mended now is noted again when it is read. */
static void mended(void *arg, const status_t *st)
{
    mender_t *self = arg;
    self->is_in_batch = false;
    store_forget_lost(self->store, self->lost_count);
    if (st->code) {
        mend_walk_destroy(&self->walk);
        log_warn("store: mend %zu records: %s", self->lost_count, st->text);
    } else {
        self->count += self->lost_count;
    }
}

static void look(mender_t *self)
{
    const store_lost_t *lost = store_lost(self->store, &self->lost_count);
    if (!self->lost_count)
        return;
    memcpy(self->lost, lost, self->lost_count * sizeof *lost);
    self->is_in_batch = true;
    batch_add(self->batch, mend, mended, self);
}

static void on_tick(void *arg)
{
    mender_t *self = arg;
    if (!self->is_in_batch && self->walk)
        read_on(self);
    else if (!self->is_in_batch)
        look(self);
    io_timer_in(self->io, &self->tick, self->walk ? NEXT_MS : TICK_MS);
}

mender_t *mender_new(io_set_t *io, store_t *store, batch_t *batch)
{
    mender_t *self = zmalloc(sizeof *self);
    size_t count, before = SIZE_MAX;
    *self = (mender_t){.io = io, .store = store, .batch = batch};
    /* Before anything is appended, the last event may be among them, and before anybody waits. */
    for (store_lost(store, &count); count && count < before; store_lost(store, &count)) {
        before = count;
        look(self);
        batch_commit(batch);
        if (self->walk)
            begin_finish(self);
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
    mend_walk_destroy(&self->walk);
    free(self);
    *self_p = NULL;
}

uint64_t mender_count(const mender_t *self)
{
    return self->count;
}
