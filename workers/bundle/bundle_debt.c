/* Deleted bundles whose directories are still there. */
#include "workers/bundle/bundle_debt.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_list.h"
#include "workers/bundle/bundle_remove.h"
#include "workers/bundle/bundle_sweep.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SWEEP_RETRY_MS 60000
#define TIME_SIZE      32

typedef struct debt {
    bundle_debts_t *owner;
    char *ns, *hidden, *key;
    time_t since;
    char *why;      /* of the last failure; NULL as long as nobody needs to know of it */
    unsigned tries; /* that failed */
    int64_t pause_ms;
    io_timer_t timer; /* the next try; while `done` is set, the end of its patience */
    bundle_debts_done_t *done;
    void *arg;
    bool is_due, is_counted; /* in `due`; in `running` */
    TAILQ_ENTRY(debt) link;  /* in `due` */
} debt_t;

struct bundle_debts {
    const bundle_store_t *store;
    bundle_jobs_t *jobs;
    io_set_t *io;
    zhashx_t *all;          /* by key; owns them */
    TAILQ_HEAD(, debt) due; /* wait for their turn */
    size_t running;         /* tries that had to wait for their turn */
    io_timer_t sweep;
    bool is_pumping; /* a try may end while it is begun */
};

static void pump(bundle_debts_t *self);
static void on_timer(void *arg);

/* One debt ---------------------------------------------------------------------------------------
 */

static void debt_destroy(void **item)
{
    debt_t *self = *item;
    io_timer_stop(self->owner->io, &self->timer);
    if (self->is_due)
        TAILQ_REMOVE(&self->owner->due, self, link);
    free(self->ns);
    free(self->hidden);
    free(self->key);
    free(self->why);
    free(self);
    *item = NULL;
}

/* When it was hidden, as the change time of the directory tells; removing what is in it and failing
 * half-way makes that later. */
static time_t hidden_since(const bundle_store_t *store, const char *ns, const char *hidden)
{
    AUTO_CLOSE int run = bundle_store_open_run(store, ns);
    AUTO_CLOSE int root = bundle_store_open_root(store, ns);
    AUTO_CLOSE int bundle = run < 0 ? -1 : bundle_dir_open_inside(run, hidden, O_PATH);
    AUTO_CLOSE int work = root < 0 ? -1 : bundle_dir_open_inside(root, hidden, O_PATH);
    struct stat info;
    if (fstat(bundle >= 0 ? bundle : work, &info))
        return time(NULL);
    return info.st_ctim.tv_sec;
}

/* NULL when it is known already, or too many are. */
static debt_t *debt_add(bundle_debts_t *owner, const char *ns, const char *hidden)
{
    AUTO_FREE char *key = util_format("%s/%s", ns, hidden);
    if (zhashx_lookup(owner->all, key))
        return NULL;
    if (zhashx_size(owner->all) >= BUNDLE_DEBT_MAX) {
        if (!owner->sweep.is_set)
            log_warn("remove %s: more than %d left-overs, later", key, BUNDLE_DEBT_MAX);
        io_timer_advance(owner->io, &owner->sweep, util_monotonic_us() + SWEEP_RETRY_MS * 1000LL);
        return NULL;
    }
    debt_t *self = zmalloc(sizeof *self);
    *self = (debt_t){.owner = owner,
                     .ns = util_strdup(ns),
                     .hidden = util_strdup(hidden),
                     .key = util_strdup(key),
                     .since = hidden_since(owner->store, ns, hidden),
                     .pause_ms = BUNDLE_DEBT_PAUSE_MS};
    io_timer_init(&self->timer, on_timer, self);
    zhashx_insert(owner->all, key, self);
    return self;
}

static void tell(debt_t *self, const status_t *st)
{
    bundle_debts_done_t *done = self->done;
    self->done = NULL;
    if (done)
        done(self->arg, st);
}

/* Tries ------------------------------------------------------------------------------------------
 */

static bundle_job_next_t try_here(void *arg, status_t *st)
{
    debt_t *self = arg;
    const bundle_store_t *store = self->owner->store;
    if (!bundle_remove_is_quick(store, self->ns, self->hidden))
        return BUNDLE_JOB_CHILD;
    bundle_remove_quickly(store, self->ns, self->hidden, st);
    return BUNDLE_JOB_DONE;
}

static status_code_t try_child(void *arg, status_t *st)
{
    debt_t *self = arg;
    return bundle_remove_hidden(self->owner->store, self->ns, self->hidden, st);
}

static void failed(debt_t *self, const status_t *st)
{
    bool is_slow = st->code == STATUS_DEADLINE_EXCEEDED;
    char *why = is_slow ? util_format("not done within %d s", BUNDLE_DEBT_TRY_MS / 1000)
                        : util_strdup(st->text);
    if (!self->why || strcmp(self->why, why))
        log_warn("remove %s: %s; trying again", self->key, why);
    free(self->why);
    self->why = why;
    self->tries++;
    io_timer_in(self->owner->io, &self->timer, self->pause_ms);
    self->pause_ms *= 2;
    if (self->pause_ms > BUNDLE_DEBT_PAUSE_MAX)
        self->pause_ms = BUNDLE_DEBT_PAUSE_MAX;
}

static void try_done(void *arg, const status_t *st)
{
    debt_t *self = arg;
    bundle_debts_t *owner = self->owner;
    if (self->is_counted)
        owner->running--;
    self->is_counted = false;
    tell(self, st ? &(status_t){0} : NULL);
    if (!st)
        return;
    io_timer_stop(owner->io, &self->timer);
    if (st->code) {
        failed(self, st);
    } else {
        if (self->tries)
            log_info("remove %s: done after %u failures", self->key, self->tries);
        zhashx_delete(owner->all, self->key);
    }
    pump(owner);
}

/* It may be over, and `self` gone, when this returns. */
static void begin(debt_t *self)
{
    static const bundle_job_ops_t ops = {.here = try_here, .child = try_child, .done = try_done};
    bundle_debts_t *owner = self->owner;
    AUTO_FREE char *what = util_format("remove %s", self->key);
    bundle_jobs_add(owner->jobs, self->key, what, util_now_ms() + BUNDLE_DEBT_TRY_MS, &ops, self);
}

static void pump(bundle_debts_t *self)
{
    if (self->is_pumping)
        return;
    self->is_pumping = true;
    while (self->running < BUNDLE_DEBT_AT_ONCE && !TAILQ_EMPTY(&self->due)) {
        debt_t *debt = TAILQ_FIRST(&self->due);
        TAILQ_REMOVE(&self->due, debt, link);
        debt->is_due = false;
        debt->is_counted = true;
        self->running++;
        begin(debt);
    }
    self->is_pumping = false;
}

static void set_due(debt_t *self)
{
    self->is_due = true;
    TAILQ_INSERT_TAIL(&self->owner->due, self, link);
}

static void on_timer(void *arg)
{
    debt_t *self = arg;
    if (self->done) {
        self->why = util_strdup("still being unmounted or removed");
        tell(self, &(status_t){0});
        return;
    }
    set_due(self);
    pump(self->owner);
}

void bundle_debts_clear(bundle_debts_t *self, const char *ns, const char *hidden, int64_t deadline,
                        bundle_debts_done_t *done, void *arg)
{
    debt_t *debt = debt_add(self, ns, hidden);
    if (!debt) {
        done(arg, &(status_t){0});
        return;
    }
    debt->done = done;
    debt->arg = arg;
    int64_t half = deadline ? (deadline - util_now_ms()) / 2 : BUNDLE_DEBT_PATIENCE;
    io_timer_in(self->io, &debt->timer, half < BUNDLE_DEBT_PATIENCE ? half : BUNDLE_DEBT_PATIENCE);
    begin(debt);
}

/* Finding them again -----------------------------------------------------------------------------
 */

static void on_found(void *arg, const char *ns, const char *hidden)
{
    debt_t *debt = debt_add(arg, ns, hidden);
    if (debt)
        set_due(debt);
}

status_code_t bundle_debts_sweep(bundle_debts_t *self, status_t *st)
{
    bundle_sweep_run(self->store, on_found, self, st);
    if (st->code)
        io_timer_in(self->io, &self->sweep, SWEEP_RETRY_MS);
    pump(self);
    return st->code;
}

static void on_sweep(void *arg)
{
    status_t st;
    if (bundle_debts_sweep(arg, &st))
        log_warn("%s", st.text);
}

void bundle_debts_sweep_soon(bundle_debts_t *self)
{
    io_timer_in(self->io, &self->sweep, 0);
}

void bundle_debts_retry(bundle_debts_t *self)
{
    for (debt_t *debt = zhashx_first(self->all); debt; debt = zhashx_next(self->all)) {
        if (!debt->timer.is_set || debt->done)
            continue;
        io_timer_stop(self->io, &debt->timer);
        set_due(debt);
    }
    pump(self);
}

/* All of them ------------------------------------------------------------------------------------
 */

static const char *sentence(const debt_t *self, msgpack_zone *zone)
{
    char since[TIME_SIZE], next[64] = "being tried";
    struct tm utc;
    gmtime_r(&self->since, &utc);
    strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &utc);
    int64_t left_us = self->timer.when - util_monotonic_us();
    if (self->timer.is_set)
        snprintf(next, sizeof next, "next try in %lld s",
                 left_us > 0 ? (long long)(left_us + 999999) / 1000000 : 0);
    AUTO_FREE char *text = util_format("%s (deleted at %s, failed %u time%s, %s)", self->why, since,
                                       self->tries, self->tries == 1 ? "" : "s", next);
    return bundle_store_keep(zone, text);
}

static void describe(const debt_t *self, msgpack_zone *zone, msg_bundle_t *ret)
{
    const bundle_store_t *store = self->owner->store;
    char id[BUNDLE_DIR_NAME_SIZE];
    bundle_dir_hidden_id(self->hidden, id);
    AUTO_FREE char *path = bundle_store_path(store, self->ns, self->hidden);
    AUTO_FREE char *work = bundle_store_work_path(store, self->ns, self->hidden);
    *ret = (msg_bundle_t){.ns = bundle_store_keep(zone, self->ns),
                          .id = bundle_store_keep(zone, id),
                          .path = bundle_store_keep(zone, path),
                          .work = bundle_store_keep(zone, work),
                          .debt = sentence(self, zone)};
}

void bundle_debts_list(bundle_debts_t *self, msgpack_zone *zone, msg_bundles_t *ret)
{
    size_t bytes = 0, count = 0, size = zhashx_size(self->all) * sizeof(msg_bundle_t);
    msg_bundle_t *items = msgpack_zone_malloc(zone, size + 1);
    if (!items)
        abort();
    for (debt_t *debt = zhashx_first(self->all); debt; debt = zhashx_next(self->all)) {
        if (!debt->why)
            continue;
        describe(debt, zone, &items[count]);
        bytes += bundle_list_bytes(&items[count]);
        if (bytes > BUNDLE_DEBT_LIST_BYTES)
            break;
        count++;
    }
    qsort(items, count, sizeof *items, bundle_list_compare);
    ret->debts.items = items;
    ret->debts.count = count;
}

bundle_debts_t *bundle_debts_new(const bundle_store_t *store, bundle_jobs_t *jobs, io_set_t *io)
{
    bundle_debts_t *self = zmalloc(sizeof *self);
    *self = (bundle_debts_t){.store = store, .jobs = jobs, .io = io, .all = zhashx_new()};
    zhashx_set_destructor(self->all, debt_destroy);
    TAILQ_INIT(&self->due);
    io_timer_init(&self->sweep, on_sweep, self);
    return self;
}

void bundle_debts_destroy(bundle_debts_t **self_p)
{
    bundle_debts_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->sweep);
    zhashx_destroy(&self->all);
    free(self);
    *self_p = NULL;
}
