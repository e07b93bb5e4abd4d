/* One run of a container within a transaction. */
#include "workers/metadata/run.h"

#include "common/util.h"
#include "workers/metadata/aside.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/expiry.h"
#include "workers/metadata/held.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/mend_walk.h"
#include "workers/metadata/own_events.h"

#include <string.h>

#define RELEASE_MAX 64 /* held events that are released in one transaction */

#define REASON_ENDED "the task has ended"
static const char *const reasons[] = {
    [AUTOMATON_HOLD] = "it has no place in the order", /* cannot be */
    [AUTOMATON_REPEAT] = "it is in the journal",
    [AUTOMATON_LATE] = "it came too late",
};

/* State ------------------------------------------------------------------------------------------
 */

static store_key_t exec_key(const run_t *self, const char *exec_id)
{
    return STORE_KEY(self->ns, self->id, self->incarnation, exec_id);
}

static void load(void *arg, const char *exec_id, automaton_t *ret)
{
    run_t *self = arg;
    process_record_t record;
    store_key_t key = exec_key(self, exec_id);
    process_record_get(self->txn, &key, &record);
    *ret = record.state;
}

static void store(void *arg, const char *exec_id, const automaton_t *state)
{
    run_t *self = arg;
    process_record_t record;
    store_key_t key = exec_key(self, exec_id);
    process_record_get(self->txn, &key, &record);
    record.state = *state;
    bool is_over = state->phase == AUTOMATON_EXITED && !state->is_open;
    if (is_over && !record.keep_until) {
        record.keep_until = self->order.now + INCARNATIONS_KEEP_EXEC_NS;
        expiry_add(self->txn, EXPIRY_PROCESS, key.bytes, key.size, record.keep_until,
                   self->order.now);
    } else if (!is_over) {
        record.keep_until = 0; /* its id is used again */
    }
    process_record_put(self->txn, &key, &record);
}

/* Any exec that is open. */
static bool next_open(void *arg, char exec_id[ORDER_EXEC_SIZE])
{
    run_t *self = arg;
    store_key_t prefix = exec_key(self, "");
    scan_t scan;
    bool found = false;
    bool any = scan_seek(&scan, self->txn, TABLE_PROCESSES, prefix.bytes, prefix.size);
    for (; any && !found && scan_has_prefix(&scan, &prefix); any = scan_next(&scan)) {
        process_record_t record;
        size_t size = scan.key.size - prefix.size;
        if (size == 0 || size >= ORDER_EXEC_SIZE || !process_record_of(&scan.value, &record))
            continue;
        found = record.state.is_open;
        memcpy(exec_id, scan.key.data + prefix.size, size);
        exec_id[size] = '\0';
    }
    scan_close(&scan);
    return found;
}

/* Held events ------------------------------------------------------------------------------------
 */

static void hold(void *arg, order_item_t *item)
{
    run_t *self = arg;
    item->number = ++self->init.held_next;
    held_put(self->txn, &self->key, item);
}

static msgpack_zone *zone_of(run_t *self)
{
    if (!self->zone)
        self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    return self->zone;
}

static void release(void *arg, order_item_t *item)
{
    run_t *self = arg;
    held_take(self->txn, &self->key, item, zone_of(self));
}

static bool next_held(void *arg, uint64_t after, order_item_t *ret)
{
    run_t *self = arg;
    bool found = held_next(self->txn, &self->key, after, ret);
    if (!found && !after)
        self->order.held = 0; /* those that were counted are lost */
    return found;
}

static bool is_full(void *arg)
{
    run_t *self = arg;
    return self->is_large || held_count(self->txn) >= ORDER_HELD_MAX;
}

/* Journal ----------------------------------------------------------------------------------------
 */

bool run_exit(run_t *self, const char *exec_id, msg_incarnation_exit_t *ret)
{
    store_key_t key = exec_key(self, exec_id);
    return txn_get_message(self->txn, TABLE_EXITS, &key, MSG_incarnation_exit, zone_of(self), ret);
}

/* How the process of an exit or delete of ours ended. Returns where that is known from. */
static const char *find_exit(run_t *self, const order_item_t *item, msg_exited_t *ret)
{
    msg_incarnation_exit_t record;
    status_t st;
    const journal_event_t *told = item->payload;
    bool never_ran =
        item->event.kind == TASK_EVENT_DELETE && self->order.init.phase < AUTOMATON_EXITED;
    if (never_ran)
        return NULL;
    bool is_told = told && !msg_decode(MSG_incarnation_exit, told->event.data, told->event.size,
                                       zone_of(self), &record, &st);
    if (is_told || (run_exit(self, item->exec_id, &record) &&
                    automaton_is_same(record.pid, item->event.pid))) {
        *ret = (msg_exited_t){.exit_status = record.exit_status,
                              .exited_at = record.exited_at,
                              .unknown = record.unknown,
                              .why = record.why};
        return record.source;
    }
    *ret = (msg_exited_t){.unknown = true, .why = "nobody told of it"};
    return NULL;
}

static void append_ours(run_t *self, const order_item_t *item)
{
    own_task_event_t event = {.kind = item->event.kind,
                              .ns = self->ns,
                              .id = self->id,
                              .incarnation = self->incarnation,
                              .exec_id = item->exec_id,
                              .evidence = item->evidence,
                              .newest = &self->init.newest,
                              .pid = item->event.pid};
    const char *source = NULL;
    if (event.kind == TASK_EVENT_EXIT || event.kind == TASK_EVENT_DELETE)
        source = find_exit(self, item, &event.exited);
    if (!item->evidence[0])
        event.evidence = source && source[0] ? source : ORDER_LATER_EVENT;
    own_events_task(self->txn, &event, self->order.now);
}

static journal_event_t event_of(const run_t *self, const order_item_t *item)
{
    /* Without a payload the store has failed, and nothing of this will stay. */
    static const journal_event_t none = {.topic = "", .type = ""};
    journal_event_t event = item->payload ? *(const journal_event_t *)item->payload : none;
    event.ns = self->ns;
    event.origin = item->evidence[0] ? JOURNAL_ORIGIN_SHIMD : JOURNAL_ORIGIN_SHIM;
    event.evidence = item->evidence[0] ? item->evidence : NULL;
    event.incarnation = self->incarnation;
    event.subject = self->id;
    return event;
}

static void append(void *arg, const order_item_t *item)
{
    run_t *self = arg;
    bool is_end = item->event.kind == TASK_EVENT_EXIT || item->event.kind == TASK_EVENT_DELETE;
    if (is_end && !item->event.is_exec)
        self->has_ended_init = true;
    if (item->event.is_ours) {
        append_ours(self, item);
        return;
    }
    journal_event_t event = event_of(self, item);
    event.newest = &self->init.newest;
    journal_append(self->txn, &event);
}

void run_put_aside(txn_t *txn, const journal_event_t *event, const char *reason, int64_t now)
{
    journal_event_t kept = *event;
    kept.reason = reason;
    aside_add(txn, &kept, now);
}

static void aside(void *arg, const order_item_t *item, automaton_verdict_t why)
{
    run_t *self = arg;
    journal_event_t event = event_of(self, item);
    run_put_aside(self->txn, &event, reasons[why], self->order.now);
}

/* ------------------------------------------------------------------------------------------------
 */

static const order_ops_t ops = {.load = load,
                                .store = store,
                                .next_open = next_open,
                                .hold = hold,
                                .release = release,
                                .next_held = next_held,
                                .append = append,
                                .aside = aside,
                                .is_full = is_full};

void run_open_with(run_t *self, txn_t *txn, const store_key_t *key, const process_record_t *init,
                   int64_t now)
{
    /* Most of it is key and records, which need no clearing first. */
    self->txn = txn;
    self->key.size = key->size;
    memcpy(self->key.bytes, key->bytes, key->size);
    self->key.bytes[key->size] = '\0';
    self->init = *init;
    self->zone = NULL;
    self->is_large = self->has_ended_init = false;
    self->ns = (const char *)self->key.bytes;
    self->id = self->ns + strlen(self->ns) + 1;
    self->incarnation = self->id + strlen(self->id) + 1;
    self->order = (order_t){
        .ops = &ops, .arg = self, .init = self->init.state, .held = self->init.held, .now = now};
}

bool run_open(run_t *self, txn_t *txn, const store_key_t *key, int64_t now)
{
    process_record_t init;
    store_key_t process = *key; /* its exec id is empty */
    process.bytes[process.size++] = '\0';
    if (!process_record_get(txn, &process, &init)) {
        mend_walk_t *walk = mend_walk_of_run(txn, &process); /* if it goes on its record is lost */
        mend_walk_finish(&walk, txn);
        if (!process_record_get(txn, &process, &init))
            return false;
    }
    run_open_with(self, txn, key, &init, now);
    return true;
}

void run_close(run_t *self)
{
    self->init.state = self->order.init;
    self->init.held = self->order.held;
    self->key.size++; /* of init, whose exec id is empty */
    process_record_put(self->txn, &self->key, &self->init);
    if (self->zone)
        msgpack_zone_free(self->zone);
    self->zone = NULL;
}

void run_take(run_t *self, order_item_t *item, const journal_event_t *event)
{
    item->payload = event;
    if (self->init.ended) {
        journal_event_t late = event_of(self, item);
        run_put_aside(self->txn, &late, REASON_ENDED, self->order.now);
        return;
    }
    self->is_large = event->event.size + event->raw.size > HELD_EVENT_MAX;
    order_take(&self->order, item);
    self->is_large = false;
}

void run_learn_exit(run_t *self, const msg_incarnation_exit_t *exit, const char *exec_id,
                    int64_t time)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msg_encode(MSG_incarnation_exit, exit, &buffer);
    /* The record may be another use's of the exec id by then: it comes along. */
    const journal_event_t told = {
        .topic = "", .type = "", .event = {.data = (uint8_t *)buffer.data, .size = buffer.size}};
    order_item_t item = order_ours(TASK_EVENT_EXIT, exec_id, exit->pid, time, "");
    item.payload = &told;
    order_learn(&self->order, &item);
    msgpack_sbuffer_destroy(&buffer);
}

void run_learn_from_delete(run_t *self, const msg_incarnation_exit_t *exit)
{
    msg_incarnation_exit_t record = *exit;
    if (self->order.init.phase >= AUTOMATON_EXITED || self->init.ended)
        return;
    record.incarnation = self->incarnation;
    if (!run_exit(self, "", &(msg_incarnation_exit_t){.pid = 0})) {
        store_key_t key = exec_key(self, "");
        exit_records_put(self->txn, &key, &record);
    }
    if (!automaton_knows(&self->order.init, TASK_EVENT_EXIT))
        run_learn_exit(self, &record, "", self->order.now);
}

void run_learn_from_exec_exit(run_t *self, const char *exec_id, const msg_incarnation_exit_t *exit)
{
    msg_incarnation_exit_t record = *exit, earlier;
    store_key_t key = exec_key(self, exec_id);
    bool is_kept = run_exit(self, exec_id, &earlier) && earlier.pid == exit->pid;
    if (self->init.ended || (is_kept && !earlier.unknown))
        return;
    record.incarnation = self->incarnation;
    record.exec_id = exec_id;
    record.source = RUN_EXIT_EVENT;
    exit_records_put(self->txn, &key, &record);
}

/* Events whose time has come ---------------------------------------------------------------------
 */

bool run_is_due(int64_t deadline, int64_t now)
{
    return deadline <= now || deadline > now + AUTOMATON_WAIT_MAX_NS;
}

static void release_one(txn_t *txn, const store_key_t *key, uint64_t number, int64_t deadline,
                        int64_t now)
{
    run_t run;
    order_item_t item;
    if (run_open(&run, txn, key, now) && next_held(&run, number - 1, &item) &&
        item.number == number) {
        order_release(&run.order, &item);
        run_close(&run);
    } else {
        held_drop_due(txn, deadline, key, number); /* its record or its run is lost */
    }
}

bool run_release_due(txn_t *txn, int64_t now)
{
    int64_t deadline;
    store_key_t key;
    uint64_t number;
    int count = 0;
    while (count < RELEASE_MAX && held_first_due(txn, &deadline, &key, &number) &&
           run_is_due(deadline, now)) {
        release_one(txn, &key, number, deadline, now);
        count++;
    }
    return count > 0;
}
