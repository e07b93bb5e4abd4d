/* Events of shims on their way into the journal. */
#include "workers/metadata/intake.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/run.h"
#include "workers/metadata/task_fields.h"

#include <string.h>

#define TYPE_MAX 256
#define KILLED   137 /* exit status after SIGKILL */

typedef struct item {
    intake_t *owner;
    char *ns, *topic, *type; /* in `text` */
    journal_event_t event;   /* borrows these, and its fields or raw from there */
    task_fields_t fields;
    bool is_end;   /* init's exit or delete came into the journal */
    bool is_probe; /* the first of those that wait, tried alone */
    intake_done_t *done;
    void *arg;
    char text[];
} item_t;

struct intake {
    io_set_t *io;
    batch_t *batch;
    intake_told_t *told;
    void *arg;
    zlistx_t *waiting; /* item_t that could not be stored, oldest first; owns them */
    size_t waiting_bytes;
    msgpack_zone *zone; /* for the fields of one event */
    io_timer_t retry;   /* set while some wait */
};

static void item_destroy(item_t **self_p)
{
    item_t *self = *self_p;
    if (!self)
        return;
    free(self);
    *self_p = NULL;
}

/* Whom it is about ------------------------------------------------------------------------------
 */

static void read_task(item_t *self)
{
    task_fields_t *fields = &self->fields;
    const msg_bytes_t *packed = &self->event.event;
    msgpack_object map;
    size_t at = 0;
    if (packed->data &&
        msgpack_unpack((const char *)packed->data, packed->size, &at, self->owner->zone, &map) > 0)
        task_fields_read(fields, &map);
    msgpack_zone_clear(self->owner->zone);
}

/* Into the journal ------------------------------------------------------------------------------
 */

/* An exit, or a delete, tells how the process ended. */
static void learn_exit(const task_fields_t *fields, run_t *run)
{
    const msg_incarnation_exit_t exit = {.id = fields->id,
                                         .pid = fields->pid,
                                         .exit_status = fields->exit_status,
                                         .exited_at = fields->exited_at,
                                         .source = ORDER_LATER_EVENT};
    if (fields->kind == TASK_EVENT_DELETE && exit.exited_at)
        run_learn_from_delete(run, &exit);
    if (fields->kind == TASK_EVENT_EXIT && fields->exec_id[0] && exit.exited_at)
        run_learn_from_exec_exit(run, fields->exec_id, &exit);
}

static void take(item_t *self, txn_t *txn, const store_key_t *key, const process_record_t *init,
                 int64_t now)
{
    run_t run;
    if (init->version) {
        run_open_with(&run, txn, key, init, now);
    } else if (!run_open(&run, txn, key, now)) {
        /* The run is over and its record lost: its order cannot be told any more. */
        journal_append(txn, &self->event);
        return;
    }
    const task_fields_t *fields = &self->fields;
    order_item_t item = {
        .event = {.kind = fields->kind,
                  .is_exec = fields->exec_id[0],
                  .is_kill = fields->kind == TASK_EVENT_EXIT && fields->exit_status == KILLED,
                  .pid = fields->pid,
                  .time = self->event.time}};
    stpcpy(item.exec_id, fields->exec_id);
    learn_exit(fields, &run);
    run_take(&run, &item, &self->event);
    self->is_end = run.has_ended_init;
    run_close(&run);
}

static void run(void *arg, txn_t *txn)
{
    item_t *self = arg;
    store_key_t key;
    int64_t now = util_now_ns();
    self->is_end = false;
    self->event.incarnation = "";
    self->event.subject = self->fields.id[0] ? self->fields.id : NULL;
    const incarnations_event_t task = {.ns = self->ns,
                                       .id = self->fields.id,
                                       .exec_id = self->fields.exec_id,
                                       .pid = self->fields.pid,
                                       .time = self->event.time};
    process_record_t init;
    switch (incarnations_find(txn, &task, &key, &init)) {
    case INCARNATIONS_FOUND:
        take(self, txn, &key, &init, now);
        break;
    case INCARNATIONS_NONE:
        journal_append(txn, &self->event);
        break;
    case INCARNATIONS_FOREIGN:
        run_put_aside(txn, &self->event, "its process is none of the task's", now);
        break;
    }
}

static size_t size_of(const item_t *item)
{
    return item->event.event.size + item->event.raw.size;
}

static void done(void *arg, const status_t *st);

static void try_one(intake_t *self, bool is_probe)
{
    item_t *item = zlistx_detach(self->waiting, NULL);
    self->waiting_bytes -= size_of(item);
    item->is_probe = is_probe;
    batch_add(self->batch, run, done, item);
}

/* Tries one, so that all that waits does not fail the requests of its batch again and again; the
 * rest follows when that one could be stored. */
static void on_retry(void *arg)
{
    intake_t *self = arg;
    if (zlistx_size(self->waiting))
        try_one(self, true);
}

static void give_up(item_t *item, const char *why)
{
    log_warn("event %s of %s/%s given up: %s", item->topic, item->ns, item->fields.id, why);
    item->done(item->arg, false);
    item_destroy(&item);
}

static void wait_for_room(intake_t *self, item_t *item)
{
    if (zlistx_size(self->waiting) >= INTAKE_RETRY_MAX ||
        self->waiting_bytes + size_of(item) > INTAKE_RETRY_BYTES) {
        give_up(item, "the disk is full, and too many wait already");
        return;
    }
    self->waiting_bytes += size_of(item);
    if (item->is_probe)
        zlistx_add_start(self->waiting, item);
    else
        zlistx_add_end(self->waiting, item);
    if (!self->retry.is_set)
        io_timer_in(self->io, &self->retry, INTAKE_RETRY_MS);
}

static void done(void *arg, const status_t *st)
{
    item_t *item = arg;
    intake_t *self = item->owner;
    if (st->code == STATUS_RESOURCE_EXHAUSTED) {
        wait_for_room(self, item);
        return;
    }
    if (st->code) {
        give_up(item, st->text);
        return;
    }
    item->done(item->arg, true);
    if (item->is_end)
        self->told(self->arg, item->ns, item->fields.id);
    bool has_room = item->is_probe;
    item_destroy(&item);
    while (has_room && zlistx_size(self->waiting))
        try_one(self, false);
}

/* -----------------------------------------------------------------------------------------------
 */

static status_code_t check(const intake_event_t *event, task_event_t kind, status_t *st)
{
    if (!msg_is_identifier(event->ns, strlen(event->ns)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "its namespace is not an identifier");
    if (kind == TASK_EVENT_OTHER &&
        (!journal_is_topic(event->topic) || strlen(event->topic) > TYPE_MAX))
        return status_set(st, STATUS_INVALID_ARGUMENT, "its topic is not one");
    if (strlen(event->type) > TYPE_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "its type has more than %d bytes", TYPE_MAX);
    if (event->fields.size + event->raw.size > JOURNAL_EVENT_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "it is %zu bytes long, limit %u",
                          event->fields.size + event->raw.size, JOURNAL_EVENT_MAX);
    return STATUS_OK;
}

status_code_t intake_add(intake_t *self, const intake_event_t *event, intake_done_t *when_done,
                         void *arg, status_t *st)
{
    const task_fields_t fields = task_fields_of(event->topic);
    if (check(event, fields.kind, st))
        return st->code;
    const msg_bytes_t *content = event->fields.data ? &event->fields : &event->raw;
    size_t texts = strlen(event->ns) + strlen(event->topic) + strlen(event->type) + 3;
    item_t *item = malloc(sizeof *item + texts + content->size);
    if (!item)
        abort();
    *item = (item_t){.owner = self, .fields = fields, .done = when_done, .arg = arg};
    item->ns = item->text;
    item->topic = stpcpy(item->ns, event->ns) + 1;
    item->type = stpcpy(item->topic, event->topic) + 1;
    uint8_t *data = (uint8_t *)stpcpy(item->type, event->type) + 1;
    if (content->size)
        memcpy(data, content->data, content->size);
    msg_bytes_t kept = {.data = data, .size = content->size};
    item->event = (journal_event_t){.ns = item->ns,
                                    .topic = item->topic,
                                    .type = item->type,
                                    .origin = JOURNAL_ORIGIN_SHIM,
                                    .time = event->time,
                                    .event = event->fields.data ? kept : (msg_bytes_t){0},
                                    .raw = event->fields.data ? (msg_bytes_t){0} : kept};
    read_task(item);
    /* Behind those that wait, so that the order of arrival stays. */
    if (zlistx_size(self->waiting))
        wait_for_room(self, item);
    else
        batch_add(self->batch, run, done, item);
    return STATUS_OK;
}

intake_t *intake_new(io_set_t *io, batch_t *batch, intake_told_t *told, void *arg)
{
    intake_t *self = zmalloc(sizeof *self);
    *self = (intake_t){.io = io, .batch = batch, .told = told, .arg = arg};
    io_timer_init(&self->retry, on_retry, self);
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    self->waiting = zlistx_new();
    zlistx_set_destructor(self->waiting, (zlistx_destructor_fn *)item_destroy);
    return self;
}

void intake_destroy(intake_t **self_p)
{
    intake_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->retry);
    zlistx_destroy(&self->waiting);
    msgpack_zone_free(self->zone);
    free(self);
    *self_p = NULL;
}

size_t intake_waiting(const intake_t *self)
{
    return zlistx_size(self->waiting);
}
