/* What was seen of the processes of runs that go on, made again. */
#include "workers/metadata/mend_runs.h"

#include "common/util.h"
#include "workers/metadata/held.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/task_fields.h"
#include "workers/metadata/trail.h"

#include <string.h>

typedef struct replay {
    char ns[TASK_FIELDS_ID_SIZE], id[TASK_FIELDS_ID_SIZE];
    head_record_t head;
    store_key_t run; /* NS, ID, INCARNATION */
    process_record_t init;
    zhashx_t *execs; /* automaton_t by exec id */
} replay_t;

static void replay_destroy(void **item)
{
    replay_t *self = *item;
    zhashx_destroy(&self->execs);
    free(self);
    *item = NULL;
}

static store_key_t key_of(const replay_t *self, const char *exec_id)
{
    return STORE_KEY(self->ns, self->id, self->head.incarnation, exec_id);
}

static automaton_t *state_of(replay_t *self, const char *exec_id)
{
    if (!exec_id[0])
        return &self->init.state;
    automaton_t *state = zhashx_lookup(self->execs, exec_id);
    if (!state) {
        state = zmalloc(sizeof *state);
        zhashx_insert(self->execs, exec_id, state);
    }
    return state;
}

/* What is in the journal ------------------------------------------------------------------------
 */

static void read_text(const msgpack_object *map, const char *name, char *ret, size_t size)
{
    const msgpack_object *found = journal_field(map, name);
    bool is_text = found && found->type == MSGPACK_OBJECT_STR && found->via.str.size < size;
    snprintf(ret, size, "%.*s", is_text ? (int)found->via.str.size : 0,
             is_text ? found->via.str.ptr : "");
}

static int64_t read_time(const msgpack_object *map)
{
    const msgpack_object *found = journal_field(map, "time");
    return found && found->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? found->via.i64 : 0;
}

static void take_event(replay_t *self, const msgpack_object *map)
{
    char topic[64], origin[16];
    const msgpack_object *event = journal_field(map, "event");
    read_text(map, "topic", topic, sizeof topic);
    read_text(map, "origin", origin, sizeof origin);
    task_fields_t fields = task_fields_of(topic);
    if (event)
        task_fields_read(&fields, event);
    automaton_event_t seen = {.kind = fields.kind,
                              .is_exec = fields.exec_id[0],
                              .is_ours = !strcmp(origin, JOURNAL_ORIGIN_SHIMD),
                              .pid = fields.pid,
                              .time = read_time(map)};
    automaton_apply(&self->init.state, state_of(self, fields.exec_id), &seen);
}

void mend_runs_read(zhashx_t *self, const msgpack_object *event)
{
    char incarnation[UTIL_UUID_SIZE];
    read_text(event, "incarnation", incarnation, sizeof incarnation);
    replay_t *run = incarnation[0] ? zhashx_lookup(self, incarnation) : NULL;
    if (run)
        take_event(run, event);
}

/* What is held ----------------------------------------------------------------------------------
 */

static void expect_no_more(automaton_t *state)
{
    memcpy(state->known_counts, state->counts, sizeof state->known_counts);
    state->known_counts[AUTOMATON_COUNT_OOM] = 0;
}

/* Events of ours that wait are what is known besides. */
static void read_held(replay_t *self, txn_t *txn)
{
    order_item_t item;
    uint32_t index;
    expect_no_more(&self->init.state);
    for (automaton_t *exec = zhashx_first(self->execs); exec; exec = zhashx_next(self->execs))
        expect_no_more(exec);
    for (uint64_t at = 0; held_next(txn, &self->run, at, &item); at = item.number) {
        self->init.held++;
        self->init.held_next = (uint32_t)item.number;
        if (item.event.is_ours)
            automaton_learn(&self->init.state, state_of(self, item.exec_id), &item.event, &index);
    }
}

/* Back into the store ---------------------------------------------------------------------------
 */

/* Execs that are over may have been forgotten. */
static void put_execs(replay_t *self, txn_t *txn)
{
    process_record_t record;
    for (automaton_t *exec = zhashx_first(self->execs); exec; exec = zhashx_next(self->execs)) {
        store_key_t key = key_of(self, zhashx_cursor(self->execs));
        bool is_over = exec->phase == AUTOMATON_EXITED && !exec->is_open;
        if (is_over || process_record_get(txn, &key, &record))
            continue;
        record.state = *exec;
        process_record_put(txn, &key, &record);
    }
}

static uint32_t count_open(const replay_t *self, txn_t *txn)
{
    store_key_t prefix = key_of(self, "");
    uint32_t open = 0;
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_PROCESSES, prefix.bytes, prefix.size);
    for (; any && scan_has_prefix(&scan, &prefix); any = scan_next(&scan)) {
        process_record_t record;
        if (scan.key.size != prefix.size && process_record_of(&scan.value, &record))
            open += record.state.is_open;
    }
    scan_close(&scan);
    return open;
}

/* It may have ended while the journal was read. */
static bool goes_on(const replay_t *self, txn_t *txn)
{
    head_record_t head;
    return head_record_get(txn, self->ns, self->id, &head) && head.live &&
           !strcmp(head.incarnation, self->head.incarnation);
}

static void put_back(replay_t *self, txn_t *txn, int64_t oldest)
{
    store_key_t key = key_of(self, "");
    process_record_t init;
    if (!goes_on(self, txn))
        return;
    read_held(self, txn);
    /* What came of it first may have been trimmed: then it has run for long. */
    if (self->init.state.phase == AUTOMATON_NONE && self->head.begun < oldest)
        self->init.state.phase = AUTOMATON_STARTED;
    put_execs(self, txn);
    if (!process_record_get(txn, &key, &init)) {
        init = self->init;
        init.newest = trail_search(txn, self->ns, self->id);
    }
    init.state.open = count_open(self, txn);
    process_record_put(txn, &key, &init);
}

void mend_runs_put(zhashx_t *self, txn_t *txn, int64_t oldest)
{
    for (replay_t *run = zhashx_first(self); run; run = zhashx_next(self))
        put_back(run, txn, oldest);
}

/* ------------------------------------------------------------------------------------------------
 */

/* The run that goes on of the container `key`, if there is one. */
static replay_t *replay_new(txn_t *txn, const store_key_t *key)
{
    const char *id = memchr(key->bytes, '\0', key->size);
    size_t size = id ? (size_t)(id - (const char *)key->bytes) + 1 : 0;
    if (!id || size > TASK_FIELDS_ID_SIZE || key->size - size >= TASK_FIELDS_ID_SIZE)
        return NULL;
    replay_t *self = zmalloc(sizeof *self);
    memcpy(self->ns, key->bytes, size);
    memcpy(self->id, key->bytes + size, key->size - size);
    self->execs = zhashx_new();
    zhashx_set_destructor(self->execs, (zhashx_destructor_fn *)zstr_free);
    if (head_record_get(txn, self->ns, self->id, &self->head) && self->head.live) {
        self->run = STORE_KEY(self->ns, self->id, self->head.incarnation);
        return self;
    }
    replay_destroy((void **)&self);
    return NULL;
}

static zhashx_t *replays_new(void)
{
    zhashx_t *runs = zhashx_new();
    zhashx_set_destructor(runs, replay_destroy);
    return runs;
}

static bool has_init(const replay_t *self, txn_t *txn)
{
    store_key_t key = key_of(self, "");
    process_record_t init;
    return process_record_get(txn, &key, &init);
}

/* Those of which init's record is lost. */
static void find_without_init(txn_t *txn, zhashx_t *runs)
{
    scan_t scan;
    for (bool any = scan_seek(&scan, txn, TABLE_HEADS, NULL, 0); any; any = scan_next(&scan)) {
        store_key_t key = {.size = scan.key.size};
        head_record_t head;
        if (key.size > sizeof key.bytes || !head_record_of(&scan.value, &head) || !head.live)
            continue;
        memcpy(key.bytes, scan.key.data, key.size);
        replay_t *run = replay_new(txn, &key);
        if (run && has_init(run, txn))
            replay_destroy((void **)&run);
        if (run)
            zhashx_update(runs, run->head.incarnation, run);
    }
    scan_close(&scan);
}

/* The run that the key of a process record is of, if that goes on. */
static void add_run_of(txn_t *txn, const store_key_t *key, zhashx_t *runs)
{
    store_key_t container = {.size = 0};
    size_t parts = 0;
    for (size_t i = 0; i < key->size; i++)
        if (key->bytes[i] == '\0' && ++parts == 2)
            container.size = i;
    memcpy(container.bytes, key->bytes, container.size);
    replay_t *run = replay_new(txn, &container);
    bool is_of_run =
        run && key->size > run->run.size && !memcmp(key->bytes, run->run.bytes, run->run.size);
    if (is_of_run)
        zhashx_update(runs, run->head.incarnation, run);
    else if (run)
        replay_destroy((void **)&run);
}

zhashx_t *mend_runs_find(txn_t *txn, const store_lost_t *lost, size_t count)
{
    zhashx_t *runs = replays_new();
    find_without_init(txn, runs);
    for (size_t i = 0; i < count; i++)
        if (lost[i].table == TABLE_PROCESSES)
            add_run_of(txn, &lost[i].key, runs);
    return runs;
}

zhashx_t *mend_runs_find_one(txn_t *txn, const store_key_t *key)
{
    zhashx_t *runs = replays_new();
    add_run_of(txn, key, runs);
    return runs;
}
