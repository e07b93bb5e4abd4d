/* Removing containers. */
#include "workers/metadata/removals.h"

#include "common/errand.h"
#include "common/fifos.h"
#include "common/io_timer.h"
#include "common/local_path.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/incarnations.h"

#include <errno.h>
#include <sys/epoll.h>

#define DELAY_FIRST_MS 100 /* before another try, doubling */
#define DELAY_LAST_MS  60000

#define FIFOS_MS 10000 /* for a file system that may hang to have a directory of fifos removed */

struct removals {
    removals_tools_t tools;
    zhashx_t *table; /* removal_t by NS/ID; owns them */
};

typedef struct removal {
    removals_t *removals;
    char *key, *ns, *id; /* owned */
    char *holder;        /* its name; owned; NULL for none */
    char *fifos;         /* owned; NULL for none */
    int64_t created_at;  /* tells it from another container of that name */
    int holder_fd;       /* pidfd while it lives, -1 */
    io_timer_t timer;
    int64_t delay_ms;
    msg_uuid_t asked;           /* the request that is under way */
    incarnations_stage_t stage; /* of its run, when it was last looked at */
    bool is_holder_gone;
    bool is_busy;
    bool is_due; /* to be tried again as soon as that is over */
} removal_t;

static char *key_of(const char *ns, const char *id)
{
    return util_format("%s/%s", ns, id);
}

static removal_t *find(removals_t *self, const char *ns, const char *id)
{
    AUTO_FREE char *key = key_of(ns, id);
    return zhashx_lookup(self->table, key);
}

static void close_holder(removal_t *self)
{
    io_set_remove(self->removals->tools.io, self->holder_fd);
    util_close(&self->holder_fd);
}

static void removal_destroy(void **item)
{
    removal_t *self = *item;
    const removals_tools_t *tools = &self->removals->tools;
    io_timer_stop(tools->io, &self->timer);
    link_forget(tools->link, &self->asked);
    close_holder(self);
    free(self->key);
    free(self->ns);
    free(self->id);
    free(self->holder);
    free(self->fifos);
    free(self);
    *item = NULL;
}

static void attempt(removal_t *self);

static void try_later(removal_t *self)
{
    self->is_busy = self->is_due = false;
    io_timer_in(self->removals->tools.io, &self->timer, self->delay_ms);
    self->delay_ms = self->delay_ms * 2 < DELAY_LAST_MS ? self->delay_ms * 2 : DELAY_LAST_MS;
}

/* The record ------------------------------------------------------------------------------------
 */

typedef struct erasure {
    removals_t *removals;
    char *ns, *id; /* owned */
    char *fifos;   /* owned; NULL for none */
    int64_t created_at;
    status_t outcome;
} erasure_t;

static void erase(void *arg, txn_t *txn)
{
    erasure_t *self = arg;
    msg_container_t record;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    const msg_container_delete_t ask = {.id = self->id};
    const call_t call = {.ns = self->ns, .ask = &ask, .zone = zone, .now = util_now_ns()};
    bool is_there = containers_look(txn, self->ns, self->id, zone, &record) &&
                    record.created_at == self->created_at;
    status_clear(&self->outcome);
    if (is_there)
        containers_delete(txn, &call, &self->outcome);
    msgpack_zone_free(zone);
}

static void finish(removals_t *self, removal_t *removal)
{
    AUTO_FREE char *ns = TAKE(removal->ns);
    AUTO_FREE char *id = TAKE(removal->id);
    AUTO_FREE char *fifos = util_format("%s/fifo", self->tools.run_dir);
    AUTO_FREE char *bundle = util_format("%s/task/%s/%s", self->tools.run_dir, ns, id);
    log_info("container %s: removed", removal->key);
    zhashx_delete(self->table, removal->key);
    fifos_sweep(fifos, bundle); /* of its execs */
    self->tools.done(self->tools.arg, ns, id);
}

static void on_erased(void *arg, const status_t *st)
{
    erasure_t *self = arg;
    removal_t *removal = find(self->removals, self->ns, self->id);
    const status_t *failed = st->code ? st : &self->outcome;
    bool is_same = removal && removal->created_at == self->created_at;
    if (is_same && !failed->code) {
        finish(self->removals, removal);
    } else if (is_same) {
        log_debug("container %s: remove: %s", removal->key, failed->text);
        try_later(removal);
    }
    free(self->ns);
    free(self->id);
    free(self->fifos);
    free(self);
}

static int clear_fifos(const void *arg, status_t *st)
{
    const erasure_t *self = arg;
    (void)st;
    fifos_clear_dir(self->fifos);
    return -1;
}

/* Fifos that cannot be removed keep no record. */
static void on_fifos_cleared(void *arg, const status_t *st, int fd)
{
    erasure_t *self = arg;
    (void)fd;
    if (st->code)
        log_warn("container %s/%s: remove its fifos in %s: %s", self->ns, self->id, self->fifos,
                 st->text);
    batch_add(self->removals->tools.batch, erase, on_erased, self);
}

/* The record goes last: as long as it is there, a successor does the rest again. A client chose
 * where the fifos are, and nobody else waits when that hangs. */
static void remove_record(removal_t *self)
{
    erasure_t *erasure = zmalloc(sizeof *erasure);
    *erasure = (erasure_t){.removals = self->removals,
                           .ns = util_strdup(self->ns),
                           .id = util_strdup(self->id),
                           .fifos = util_strdup(self->fifos),
                           .created_at = self->created_at};
    AUTO_CLOSE int near = erasure->fifos ? local_path_open(erasure->fifos) : -1;
    bool is_far = erasure->fifos && near < 0 && errno == EAGAIN;
    if (is_far) {
        errand_begin(self->removals->tools.io, FIFOS_MS, clear_fifos, on_fifos_cleared, erasure);
        return;
    }
    if (near >= 0)
        fifos_clear_dir(erasure->fifos);
    batch_add(self->removals->tools.batch, erase, on_erased, erasure);
}

/* The task --------------------------------------------------------------------------------------
 */

/* One that was started since it was looked at is tried again when it has ended. */
static void on_task_deleted(void *arg, const status_t *st, const void *answer)
{
    removal_t *self = arg;
    (void)answer;
    self->asked = (msg_uuid_t){0};
    if (!st->code || st->code == STATUS_NOT_FOUND) {
        remove_record(self);
    } else if (st->code != STATUS_FAILED_PRECONDITION || self->stage == INCARNATIONS_ENDED) {
        log_warn("container %s: remove: %s; trying again", self->key, st->text);
        try_later(self);
    } else {
        self->is_busy = false;
        if (self->is_due)
            attempt(self);
    }
}

static status_code_t read_stage(removal_t *self, status_t *st)
{
    AUTO(txn)
    txn = txn_read(self->removals->tools.store, st);
    if (!txn)
        return st->code;
    self->stage = incarnations_stage(txn, self->ns, self->id);
    return txn_status(txn, st);
}

/* What runs is left alone: its end will be told. What was not started has nobody who would, once
 * its holder is gone. A run that was undone is none: its create may be about to be made again. */
static bool is_wanted(const removal_t *self)
{
    return self->stage == INCARNATIONS_ENDED ||
           (self->stage != INCARNATIONS_STARTED && self->holder);
}

/* Nobody holds it. */
static void attempt(removal_t *self)
{
    const removals_tools_t *tools = &self->removals->tools;
    const msg_task_delete_t ask = {.id = self->id, .unstarted = true};
    status_t st;
    self->is_due = self->is_busy;
    if (self->is_busy)
        return;
    if (read_stage(self, &st)) {
        log_error("container %s: remove: %s", self->key, st.text);
        try_later(self);
        return;
    }
    if (!is_wanted(self))
        return;
    self->is_busy = true;
    io_timer_stop(tools->io, &self->timer);
    self->asked =
        link_ask(tools->link, MSG_task_delete, &ask, self->ns, 0, NULL, on_task_deleted, self);
}

/* The holder ------------------------------------------------------------------------------------
 */

static bool is_held(const removal_t *self)
{
    return self->holder && !self->is_holder_gone;
}

static void on_holder_ended(void *arg, int fd, uint32_t events)
{
    removal_t *self = arg;
    (void)fd;
    (void)events;
    log_info("container %s: who made it has ended; it is removed when it has", self->key);
    self->is_holder_gone = true;
    close_holder(self);
    attempt(self);
}

/* 0, or an errno: ESRCH when it has ended. */
static int watch_holder(removal_t *self)
{
    if (self->holder_fd >= 0)
        return 0;
    self->holder_fd = proc_open_named(self->holder);
    if (self->holder_fd < 0)
        return errno;
    if (!io_set_add(self->removals->tools.io, self->holder_fd, EPOLLIN, on_holder_ended, self))
        return 0;
    int error = errno;
    util_close(&self->holder_fd);
    return error;
}

/* As long as it is not known that the holder has ended nothing is removed. */
static void look(void *arg)
{
    removal_t *self = arg;
    int error = is_held(self) ? watch_holder(self) : 0;
    if (error && error != ESRCH) {
        log_warn("container %s: watch who made it: %s", self->key, strerror(error));
        try_later(self);
        return;
    }
    self->is_holder_gone = self->is_holder_gone || error;
    if (!is_held(self))
        attempt(self);
}

/* -----------------------------------------------------------------------------------------------
 */

static removal_t *add(removals_t *self, const msg_container_t *record)
{
    removal_t *removal = zmalloc(sizeof *removal);
    *removal = (removal_t){.removals = self,
                           .key = key_of(record->ns, record->id),
                           .ns = util_strdup(record->ns),
                           .id = util_strdup(record->id),
                           .holder = util_strdup(record->removal->holder),
                           .fifos = util_strdup(record->removal->fifos),
                           .created_at = record->created_at,
                           .holder_fd = -1,
                           .delay_ms = DELAY_FIRST_MS};
    io_timer_init(&removal->timer, look, removal);
    zhashx_update(self->table, removal->key, removal);
    return removal;
}

void removals_add(removals_t *self, const msg_container_t *record)
{
    if (!record->removal)
        return;
    look(add(self, record));
}

void removals_forget(removals_t *self, const char *ns, const char *id)
{
    AUTO_FREE char *key = key_of(ns, id);
    zhashx_delete(self->table, key);
}

void removals_on_end(removals_t *self, const char *ns, const char *id)
{
    removal_t *removal = find(self, ns, id);
    if (removal && !is_held(removal))
        attempt(removal);
}

bool removals_begin(removals_t *self, status_t *st)
{
    scan_t scan;
    AUTO(txn)
    txn = txn_read(self->tools.store, st);
    if (!txn)
        return false;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    for (bool any = scan_seek(&scan, txn, TABLE_CONTAINERS, NULL, 0); any; any = scan_next(&scan)) {
        msg_container_t record;
        status_t bad;
        msgpack_zone_clear(zone);
        if (msg_decode(MSG_container, scan.value.data, scan.value.size, zone, &record, &bad) ||
            !record.removal || find(self, record.ns, record.id))
            continue;
        add(self, &record);
    }
    scan_close(&scan);
    msgpack_zone_free(zone);
    for (removal_t *each = zhashx_first(self->table); each; each = zhashx_next(self->table))
        look(each);
    return !txn_status(txn, st);
}

removals_t *removals_new(const removals_tools_t *tools)
{
    removals_t *self = zmalloc(sizeof *self);
    self->tools = *tools;
    self->table = zhashx_new();
    zhashx_set_destructor(self->table, removal_destroy);
    return self;
}

void removals_destroy(removals_t **self_p)
{
    removals_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->table);
    free(self);
    *self_p = NULL;
}
