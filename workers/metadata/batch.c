/* Group commit. */
#include "workers/metadata/batch.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "common/util.h"

#include <assert.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

typedef struct op {
    batch_run_t *run;
    batch_done_t *done;
    void *arg;
} op_t;

struct batch {
    store_t *store;
    io_set_t *io;
    int wake; /* eventfd: readable while operations wait; -1 without a loop */
    batch_publish_t *publish;
    void *publish_arg;
    op_t *ops; /* waiting, in order */
    size_t count, capacity;
    uint64_t total; /* since the start */
};

static void on_wake(void *arg, int fd, uint32_t events)
{
    uint64_t count;
    (void)events;
    if (read(fd, &count, sizeof count) == sizeof count)
        batch_commit(arg);
}

batch_t *batch_new(store_t *store, io_set_t *io, batch_publish_t *publish, void *arg)
{
    batch_t *self = zmalloc(sizeof *self);
    *self = (batch_t){.store = store, .io = io, .wake = -1, .publish = publish, .publish_arg = arg};
    mallopt(M_TRIM_THRESHOLD, BATCH_KEEP_BYTES);
    mallopt(M_MMAP_THRESHOLD, BATCH_KEEP_BYTES / 2); /* glibc's own grows no more by itself */
    if (io) {
        self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (self->wake < 0 || io_set_add(io, self->wake, EPOLLIN, on_wake, self))
            abort();
    }
    return self;
}

void batch_destroy(batch_t **self_p)
{
    batch_t *self = *self_p;
    if (!self)
        return;
    if (self->io)
        io_set_remove(self->io, self->wake);
    util_close(&self->wake);
    free(self->ops);
    free(self);
    *self_p = NULL;
}

void batch_add(batch_t *self, batch_run_t *run, batch_done_t *done, void *arg)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 16;
        self->ops = realloc(self->ops, self->capacity * sizeof *self->ops);
        if (!self->ops)
            abort();
    }
    self->total++;
    self->ops[self->count++] = (op_t){.run = run, .done = done, .arg = arg};
    uint64_t one = 1;
    /* The loop comes to the descriptor only after it has served what was readable before. */
    if (self->wake >= 0 && self->count == 1 && write(self->wake, &one, sizeof one) < 0)
        abort();
}

size_t batch_waiting(const batch_t *self)
{
    return self->count;
}

uint64_t batch_count(const batch_t *self)
{
    return self->total;
}

/* One try at one transaction with all of them. */
static int attempt(batch_t *self, const op_t *ops, size_t count, news_t **news)
{
    int error;
    status_t ignored;
    txn_t *txn = txn_write(self->store, &error);
    if (!txn)
        return error;
    for (size_t i = 0; i < count && !txn_error(txn); i++)
        ops[i].run(ops[i].arg, txn);
    FAILPOINT(&ignored, "commit before");
    error = txn_commit(&txn, news);
    FAILPOINT(&ignored, "commit after");
    return error;
}

static int run_all(batch_t *self, const op_t *ops, size_t count)
{
    news_t *news = NULL;
    int error;
    while ((error = attempt(self, ops, count, &news)) == MDB_MAP_FULL && !store_grow(self->store)) {
    }
    if (error == MDB_PANIC) {
        /* Its state in memory and on the disk differ. What was answered is on the disk; the
         * successor reads it from there, and the rest is asked again. */
        log_error("metadata store: %s: giving up", mdb_strerror(error));
        exit(EXIT_FAILURE);
    }
    if (!error && news && self->publish)
        self->publish(self->publish_arg, TAKE(news));
    news_destroy(&news);
    return error;
}

static void tell(const batch_t *self, const op_t *ops, size_t count, int error)
{
    status_t st;
    if (store_status(self->store, error, &st))
        log_warn("commit of %zu operations: %s", count, st.text);
    for (size_t i = 0; i < count; i++)
        ops[i].done(ops[i].arg, &st);
}

void batch_commit(batch_t *self)
{
    op_t *ops = TAKE(self->ops);
    size_t count = self->count;
    self->count = self->capacity = 0;
    if (count == 0)
        return;

    int error = run_all(self, ops, count);
    bool full = error == ENOSPC || error == EDQUOT || error == MDB_MAP_FULL;
    if (error && !full && count > 1) {
        /* One of them met a damaged record or the like: the others shall not suffer from it. */
        for (size_t i = 0; i < count; i++)
            tell(self, &ops[i], 1, run_all(self, &ops[i], 1));
    } else {
        tell(self, ops, count, error);
    }
    free(ops);
}
