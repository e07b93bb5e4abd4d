/* What is kept for a while only. */
#include "workers/metadata/trimmer.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/expiry.h"
#include "workers/metadata/keep_bounds.h"

#define LOOK_MS 1000 /* from one look to the next */
#define NEXT_MS 10   /* from one piece to the next */

struct trimmer {
    io_set_t *io;
    store_t *store;
    batch_t *batch;
    const retention_t *retention;
    io_timer_t timer;
    uint64_t last; /* the journal's, at the last piece */
    size_t budget; /* of the piece that is in the batch */
    keep_bounds_t bounds;
    bool has_more;
};

static void run(void *arg, txn_t *txn)
{
    trimmer_t *self = arg;
    int64_t now = util_now_ns();
    bool has_more = retention_trim(txn, self->retention, now, self->budget);
    has_more = keep_bounds_trim(&self->bounds, txn, self->retention, self->budget / 2) || has_more;
    self->has_more = expiry_sweep(txn, now) || has_more;
}

static void done(void *arg, const status_t *st)
{
    trimmer_t *self = arg;
    if (st->code)
        log_warn("trim the journal: %s", st->text);
    io_timer_in(self->io, &self->timer, st->code || !self->has_more ? LOOK_MS : NEXT_MS);
}

static bool is_due(trimmer_t *self)
{
    status_t st;
    int64_t now = util_now_ns();
    AUTO(txn)
    txn = txn_read(self->store, &st);
    return txn && (retention_is_due(txn, self->retention, now) || expiry_is_due(txn, now) ||
                   keep_bounds_is_due(txn, self->retention));
}

static void on_timer(void *arg)
{
    trimmer_t *self = arg;
    uint64_t last = store_journal_last(self->store);
    if (!is_due(self)) {
        io_timer_in(self->io, &self->timer, LOOK_MS);
        return;
    }
    uint64_t budget = RETENTION_PIECE_MIN + 2 * (last - self->last);
    self->budget = budget < RETENTION_PIECE_MAX ? (size_t)budget : RETENTION_PIECE_MAX;
    self->last = last;
    batch_add(self->batch, run, done, self);
}

trimmer_t *trimmer_new(io_set_t *io, store_t *store, batch_t *batch, const retention_t *retention)
{
    trimmer_t *self = zmalloc(sizeof *self);
    *self = (trimmer_t){.io = io,
                        .store = store,
                        .batch = batch,
                        .retention = retention,
                        .last = store_journal_last(store)};
    io_timer_init(&self->timer, on_timer, self);
    io_timer_in(io, &self->timer, LOOK_MS);
    return self;
}

void trimmer_destroy(trimmer_t **self_p)
{
    trimmer_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->timer);
    free(self);
    *self_p = NULL;
}
