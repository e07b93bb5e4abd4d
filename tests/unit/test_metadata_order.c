/* Events of runs over the store: held ones and their release, evidence, what is put aside, and very
 * many histories with kills in between. */
#include "tests/unit/metadata_fixture.h"
#include "tests/unit/task_history.h"

#include "common/util.h"
#include "workers/metadata/aside.h"
#include "workers/metadata/held.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/run.h"

#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#define NS     "default"
#define ID     "c1"
#define INC    "11111111-2222-4333-8444-555555555555"
#define SECOND ((int64_t)1000000000)
#define LATER  (util_now_ns() + AUTOMATON_WAIT_MAX_NS)
#ifndef HISTORIES
#define HISTORIES 600
#endif

/* Acting ----------------------------------------------------------------------------------------
 */

static void begin(fixture_t *f)
{
    status_t st;
    fixture_container(f, NS, ID);
    assert_int_equal(fixture_begin(f, NS, ID, INC, &st), STATUS_OK);
}

static void shim_event(fixture_t *f, const char *topic, const char *exec_id, uint32_t pid,
                       int64_t time)
{
    fixture_shim_event(f, NS, topic, ID, exec_id, pid, time);
}

static void record_exit(fixture_t *f, const char *exec_id, uint32_t pid, uint32_t code,
                        int64_t exited_at, uint32_t oom_kills)
{
    status_t st;
    msg_incarnation_exit_t ask = {.id = ID,
                                  .incarnation = INC,
                                  .exec_id = exec_id,
                                  .pid = pid,
                                  .exit_status = code,
                                  .exited_at = exited_at,
                                  .source = "wait",
                                  .oom_kills = oom_kills};
    assert_int_equal(fixture_write(f, incarnations_exit, NS, &ask, NULL, 0, &st), STATUS_OK);
}

static void end(fixture_t *f, bool undone)
{
    status_t st;
    msg_incarnation_end_t ask = {.id = ID, .incarnation = INC, .undone = undone, .pid = 100};
    assert_int_equal(fixture_write(f, incarnations_end, NS, &ask, NULL, 0, &st), STATUS_OK);
}

/* A worker's record of a request that succeeded. */
static msg_uuid_t record_request(fixture_t *f, const char *method, const char *exec_id,
                                 uint32_t pid)
{
    status_t st;
    msgpack_sbuffer answer;
    msgpack_sbuffer_init(&answer);
    if (pid)
        msg_encode(MSG_started, &(msg_started_t){.pid = pid}, &answer);
    msg_request_record_t ask = {.method = method,
                                .ns = NS,
                                .target = ID,
                                .exec_id = exec_id,
                                .answer = {.data = (uint8_t *)answer.data, .size = answer.size}};
    msg_uuid_new(&ask.id);
    assert_int_equal(fixture_write(f, requests_record, NS, &ask, NULL, 0, &st), STATUS_OK);
    msgpack_sbuffer_destroy(&answer);
    return ask.id;
}

/* Looking ---------------------------------------------------------------------------------------
 */

/* The task events in the journal, as "topic;topic evidence;...". */
static const char *story(fixture_t *f)
{
    static char text[4096];
    msgpack_object events = fixture_journal(f);
    text[0] = '\0';
    for (uint32_t i = 0; i < events.via.array.size; i++) {
        const msgpack_object *event = &events.via.array.ptr[i];
        const msgpack_object_str *topic = &fixture_field(event, "topic")->via.str;
        const msgpack_object *evidence = fixture_field(event, "evidence");
        if (strncmp(topic->ptr, "/tasks/", 7))
            continue;
        assert_true(fixture_is(event, "origin", evidence ? "shimd" : "shim"));
        size_t used = strlen(text);
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s", (int)topic->size - 7,
                                 topic->ptr + 7);
        if (evidence)
            used += (size_t)snprintf(text + used, sizeof text - used, " %.*s",
                                     (int)evidence->via.str.size, evidence->via.str.ptr);
        snprintf(text + used, sizeof text - used, ";");
    }
    return text;
}

static const msgpack_object *last_event(fixture_t *f, const char *topic)
{
    msgpack_object events = fixture_journal(f);
    for (uint32_t i = events.via.array.size; i > 0; i--)
        if (fixture_is(&events.via.array.ptr[i - 1], "topic", topic))
            return fixture_field(&events.via.array.ptr[i - 1], "event");
    return NULL;
}

static void assert_nothing_is_held(fixture_t *f)
{
    assert_int_equal(fixture_count(f, TABLE_HELD), 0);
    assert_int_equal(fixture_count(f, TABLE_DUE), 0);
}

/* Order -----------------------------------------------------------------------------------------
 */

static void test_predecessors_are_waited_for(void **state)
{
    fixture_t *f = *state;
    begin(f);
    int64_t now = util_now_ns();
    shim_event(f, "/tasks/delete", NULL, 100, now + 4);
    shim_event(f, "/tasks/exit", ID, 100, now + 3);
    shim_event(f, "/tasks/start", NULL, 100, now + 2);
    assert_int_equal(f->acknowledged, 3);
    assert_string_equal(story(f), "");
    assert_string_equal(f->told, "");
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    fixture_release(f, now + SECOND);
    assert_string_equal(story(f), "");
    shim_event(f, "/tasks/create", NULL, 100, now + 1);
    assert_string_equal(story(f), "create;start;exit;delete;");
    assert_string_equal(f->told, "default/c1");
    assert_nothing_is_held(f);
}

static void test_predecessors_are_written_when_they_do_not_come(void **state)
{
    fixture_t *f = *state;
    begin(f);
    shim_event(f, "/tasks/exec-started", "e1", 101, util_now_ns());
    assert_string_equal(story(f), "");
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    fixture_release(f, LATER);
    assert_string_equal(story(f), "create a later event;start a later event;"
                                  "exec-added a later event;exec-started;");
    const msgpack_object *added = last_event(f, "/tasks/exec-added");
    assert_true(fixture_is(added, "exec_id", "e1"));
    assert_true(fixture_is(added, "container_id", ID));
    assert_nothing_is_held(f);
    shim_event(f, "/tasks/exec-added", "e1", 0, 1); /* too late */
    shim_event(f, "/tasks/create", NULL, 100, 1);
    assert_int_equal(fixture_count(f, TABLE_ASIDE), 2);
}

static void test_what_requests_tell_is_written(void **state)
{
    fixture_t *f = *state;
    char text[UUID_STR_LEN], wanted[1024] = "";
    const struct {
        const char *method, *exec_id, *topic;
        uint32_t pid;
    } rows[] = {{"task.create", NULL, "create", 100}, {"task.start", NULL, "start", 100},
                {"task.exec", "e1", "exec-added", 0}, {"task.start", "e1", "exec-started", 101},
                {"task.pause", NULL, "paused", 0},    {"task.resume", NULL, "resumed", 0},
                {"task.kill", NULL, NULL, 0},         {"container.update", NULL, NULL, 0}};
    begin(f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        msg_uuid_t id = record_request(f, rows[i].method, rows[i].exec_id, rows[i].pid);
        uuid_unparse_lower(id.bytes, text);
        if (rows[i].topic)
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s request %s;",
                     rows[i].topic, text);
    }
    assert_string_equal(story(f), "");
    assert_int_equal(fixture_count(f, TABLE_TARGETS), ARRAY_SIZE(rows));
    fixture_release(f, LATER);
    assert_string_equal(story(f), wanted);
    assert_int_equal(fixture_field(last_event(f, "/tasks/start"), "pid")->via.u64, 100);
    assert_int_equal(fixture_field(last_event(f, "/tasks/exec-started"), "pid")->via.u64, 101);
    assert_nothing_is_held(f);
}

static void test_what_the_shim_tells_is_not_written(void **state)
{
    fixture_t *f = *state;
    begin(f);
    record_request(f, "task.create", NULL, 100);
    shim_event(f, "/tasks/create", NULL, 100, 1);
    shim_event(f, "/tasks/start", NULL, 100, 2);
    record_request(f, "task.start", NULL, 100);
    record_request(f, "task.start", NULL, 999); /* of another run */
    record_exit(f, NULL, 100, 3, 3, 0);
    shim_event(f, "/tasks/exit", ID, 100, 3);
    shim_event(f, "/tasks/delete", NULL, 100, 4);
    assert_nothing_is_held(f);
    end(f, false);
    record_request(f, "task.pause", NULL, 0);
    fixture_release(f, LATER);
    assert_string_equal(story(f), "create;start;exit;delete;");
    assert_int_equal(fixture_count(f, TABLE_ASIDE), 0);
}

static void test_exits_are_written(void **state)
{
    fixture_t *f = *state;
    begin(f);
    shim_event(f, "/tasks/create", NULL, 100, 1);
    shim_event(f, "/tasks/start", NULL, 100, 2);
    shim_event(f, "/tasks/exec-added", "e1", 0, 3);
    shim_event(f, "/tasks/exec-added", "e2", 0, 4);
    shim_event(f, "/tasks/exec-started", "e2", 102, 5);
    record_exit(f, "e1", 101, 5, 55, 0);
    record_exit(f, NULL, 100, 7, 77, 2);
    assert_string_equal(story(f), "create;start;exec-added;exec-added;exec-started;");
    fixture_release(f, LATER);
    /* How e2 ended is known to nobody. */
    assert_string_equal(story(f), "create;start;exec-added;exec-added;exec-started;"
                                  "exec-started a later event;oom cgroup;exit wait;"
                                  "exit a later event;exit wait;");
    const msgpack_object *exit = last_event(f, "/tasks/exit");
    assert_int_equal(fixture_field(exit, "exit_status")->via.u64, 7);
    assert_int_equal(fixture_field(exit, "exited_at")->via.u64, 77);
    assert_null(fixture_field(exit, "unknown"));
    msgpack_object events = fixture_journal(f);
    exit = fixture_field(&events.via.array.ptr[events.via.array.size - 2], "event");
    assert_true(fixture_is(exit, "id", "e2"));
    assert_int_equal(fixture_field(exit, "pid")->via.u64, 102);
    assert_true(fixture_field(exit, "unknown")->via.boolean);
    assert_true(fixture_is(exit, "why", "nobody told of it"));
    end(f, false);
    assert_non_null(strstr(story(f), "exit wait;delete task.delete;"));
}

static void test_undone(void **state)
{
    fixture_t *f = *state;
    begin(f);
    shim_event(f, "/tasks/exit", ID, 100, util_now_ns());
    end(f, true);
    assert_string_equal(story(f), "");
    assert_nothing_is_held(f);
    assert_int_equal(fixture_count(f, TABLE_ASIDE), 1);
}

static void test_a_told_task_that_is_undone_is_deleted(void **state)
{
    fixture_t *f = *state;
    begin(f);
    shim_event(f, "/tasks/create", NULL, 100, 1);
    end(f, true);
    assert_string_equal(story(f), "create;delete undone;");
}

/* Limits ----------------------------------------------------------------------------------------
 */

static void test_held_events_of_a_run_are_bounded(void **state)
{
    fixture_t *f = *state;
    begin(f);
    int64_t now = util_now_ns();
    for (uint32_t i = 0; i < ORDER_HELD_RUN_MAX; i++)
        shim_event(f, "/tasks/oom", NULL, 0, now + i);
    assert_int_equal(fixture_count(f, TABLE_HELD), ORDER_HELD_RUN_MAX);
    assert_string_equal(story(f), "");
    shim_event(f, "/tasks/oom", NULL, 0, now + ORDER_HELD_RUN_MAX);
    assert_nothing_is_held(f);
    msgpack_object events = fixture_journal(f);
    /* The namespace, the container and the create besides. */
    assert_int_equal(events.via.array.size, 3 + ORDER_HELD_RUN_MAX + 1);
}

static void test_held_events_are_bounded(void **state)
{
    fixture_t *f = *state;
    status_t st;
    int64_t now = util_now_ns();
    char id[16], incarnation[UTIL_UUID_SIZE];
    size_t runs = ORDER_HELD_MAX / ORDER_HELD_RUN_MAX;
    begin(f);
    for (uint32_t i = 0; i < runs; i++) {
        snprintf(id, sizeof id, "r%u", i);
        util_uuid(incarnation);
        fixture_container(f, NS, id);
        assert_int_equal(fixture_begin(f, NS, id, incarnation, &st), STATUS_OK);
        for (uint32_t k = 0; k < ORDER_HELD_RUN_MAX; k++)
            fixture_shim_event(f, NS, "/tasks/oom", id, NULL, 0, now + k);
    }
    assert_int_equal(fixture_count(f, TABLE_HELD), ORDER_HELD_MAX);
    shim_event(f, "/tasks/start", NULL, 100, now);
    assert_string_equal(story(f), "create a later event;start;");
}

static void test_large_events_are_not_held(void **state)
{
    fixture_t *f = *state;
    begin(f);
    static char exec_id[HELD_EVENT_MAX + 1];
    memset(exec_id, 'x', sizeof exec_id - 1); /* no identifier: it belongs to init */
    shim_event(f, "/tasks/checkpointed", exec_id, 0, util_now_ns());
    assert_string_equal(story(f), "create a later event;checkpointed;");
}

/* Aside -----------------------------------------------------------------------------------------
 */

static void list_raw(fixture_t *f, uint64_t since, msg_event_page_t *ret)
{
    status_t st;
    msg_event_list_t ask = {.since = since, .raw = true, .limit = 10000};
    assert_int_equal(fixture_read(f, journal_list, NS, &ask, ret, sizeof *ret, &st), STATUS_OK);
}

static void test_aside_is_listed(void **state)
{
    fixture_t *f = *state;
    msg_event_page_t page;
    msgpack_object events;
    size_t offset = 0;
    begin(f);
    list_raw(f, 0, &page);
    assert_int_equal(page.last, 0);
    for (int i = 0; i < 3; i++)
        shim_event(f, "/tasks/create", NULL, 100, 1);
    shim_event(f, "/tasks/start", NULL, 999, 1);
    list_raw(f, 2, &page);
    assert_int_equal(page.first, 1);
    assert_int_equal(page.last, 3);
    assert_int_equal(page.next, 4);
    assert_true(msgpack_unpack((const char *)page.events.data, page.events.size, &offset, f->zone,
                               &events) > 0);
    assert_int_equal(events.via.array.size, 2);
    const msgpack_object *event = &events.via.array.ptr[0];
    assert_int_equal(fixture_field(event, "seq")->via.u64, 2);
    assert_true(fixture_is(event, "reason", "it is in the journal"));
    assert_true(fixture_is(event, "incarnation", INC));
    assert_true(fixture_is(event, "origin", "shim"));
    assert_int_equal(fixture_field(fixture_field(event, "event"), "pid")->via.u64, 100);
    assert_true(
        fixture_is(&events.via.array.ptr[1], "reason", "its process is none of the task's"));
}

static void add_aside(void *arg, txn_t *txn)
{
    const int64_t *now = arg;
    const journal_event_t event = {.ns = NS,
                                   .topic = "/tasks/exit",
                                   .type = "t",
                                   .origin = JOURNAL_ORIGIN_SHIM,
                                   .incarnation = INC,
                                   .reason = "r"};
    for (size_t i = 0; i < ASIDE_MAX + 5; i++)
        aside_add(txn, &event, *now);
}

static void add_more_aside(void *arg, txn_t *txn)
{
    const int64_t *now = arg;
    const journal_event_t event = {.ns = NS,
                                   .topic = "/tasks/exit",
                                   .type = "t",
                                   .origin = JOURNAL_ORIGIN_SHIM,
                                   .incarnation = INC,
                                   .reason = "r"};
    for (size_t i = 0; i < ASIDE_MAX; i++)
        aside_add(txn, &event,
                  *now + ASIDE_KEEP_NS + 1 + (i == ASIDE_MAX - 1 ? 2 * ASIDE_KEEP_NS : 0));
}

static void nothing(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static void test_aside_is_bounded(void **state)
{
    fixture_t *f = *state;
    msg_event_page_t page;
    int64_t now = SECOND;
    batch_add(f->batch, add_aside, nothing, &now);
    batch_commit(f->batch);
    assert_int_equal(fixture_count(f, TABLE_ASIDE), ASIDE_MAX);
    list_raw(f, 0, &page);
    assert_int_equal(page.first, 6);
    assert_int_equal(page.last, ASIDE_MAX + 5);
    /* And by age; the numbers go on. */
    batch_add(f->batch, add_more_aside, nothing, &now);
    batch_commit(f->batch);
    list_raw(f, 0, &page);
    assert_int_equal(page.last, 2 * ASIDE_MAX + 5);
    assert_true(page.first > ASIDE_MAX + 5);
}

/* Histories -------------------------------------------------------------------------------------
 */

typedef struct store_run {
    fixture_t *fixture;
    uint64_t random; /* for the kills */
    size_t number;   /* every history has a container of its own */
    char id[32], incarnation[UTIL_UUID_SIZE];
    int64_t now;
    const history_step_t *step;
} store_run_t;

static void take(void *arg, txn_t *txn)
{
    store_run_t *self = arg;
    static const char *const topics[] = {
        "/tasks/create", "/tasks/start",      "/tasks/exit",
        "/tasks/delete", "/tasks/exec-added", "/tasks/exec-started",
        "/tasks/paused", "/tasks/resumed",    "/tasks/oom"};
    const history_event_t *event = self->step->event;
    order_item_t item = {.event = {.kind = event->kind,
                                   .is_exec = event->exec >= 0,
                                   .pid = event->pid,
                                   .time = event->stamp}};
    if (event->exec >= 0)
        snprintf(item.exec_id, sizeof item.exec_id, "e%d", event->exec);
    /* The fields are enough to know it again. */
    uint8_t fields[] = {0x83, 0xa1, 'e', 0, 0xa1, 'p', 0xcd, 0, 0, 0xa1, 'c', 0xcc, 0};
    fields[3] = (uint8_t)(event->exec & 0x7f);
    fields[7] = (uint8_t)(event->pid >> 8);
    fields[8] = (uint8_t)event->pid;
    fields[12] = (uint8_t)event->code;
    journal_event_t told = {.topic = topics[event->kind],
                            .type = "t",
                            .time = event->stamp,
                            .event = {.data = fields, .size = sizeof fields}};
    store_key_t key = STORE_KEY(NS, self->id, self->incarnation);
    run_t run;
    assert_true(run_open(&run, txn, &key, self->now));
    run_take(&run, &item, &told);
    run_close(&run);
}

static void learn(store_run_t *self, const history_event_t *event)
{
    fixture_t *f = self->fixture;
    char exec_id[8];
    status_t st;
    snprintf(exec_id, sizeof exec_id, "e%d", event->exec);
    if (event->kind == TASK_EVENT_EXIT) {
        msg_incarnation_exit_t ask = {.id = self->id,
                                      .incarnation = self->incarnation,
                                      .exec_id = event->exec >= 0 ? exec_id : NULL,
                                      .pid = event->pid,
                                      .exit_status = event->code,
                                      .exited_at = event->stamp,
                                      .source = "wait"};
        fixture_write(f, incarnations_exit, NS, &ask, NULL, 0, &st);
        return;
    }
    static const char *const methods[] = {
        [TASK_EVENT_CREATE] = "task.create",   [TASK_EVENT_START] = "task.start",
        [TASK_EVENT_EXEC_ADDED] = "task.exec", [TASK_EVENT_EXEC_STARTED] = "task.start",
        [TASK_EVENT_PAUSED] = "task.pause",    [TASK_EVENT_RESUMED] = "task.resume"};
    msgpack_sbuffer answer;
    msgpack_sbuffer_init(&answer);
    if (event->pid)
        msg_encode(MSG_started, &(msg_started_t){.pid = event->pid}, &answer);
    msg_request_record_t ask = {.method = methods[event->kind],
                                .ns = NS,
                                .target = self->id,
                                .exec_id = event->exec >= 0 ? exec_id : NULL,
                                .answer = {.data = (uint8_t *)answer.data, .size = answer.size}};
    msg_uuid_new(&ask.id);
    fixture_write(f, requests_record, NS, &ask, NULL, 0, &st);
    msgpack_sbuffer_destroy(&answer);
}

static void run_step(store_run_t *self, const history_t *history)
{
    fixture_t *f = self->fixture;
    status_t st;
    switch (self->step->act) {
    case HISTORY_ARRIVES:
        batch_add(f->batch, take, nothing, self);
        batch_commit(f->batch);
        break;
    case HISTORY_LEARNT:
        learn(self, self->step->event);
        break;
    case HISTORY_ENDS: {
        const history_event_t *exit = &history->events[history->count - 2];
        msg_incarnation_end_t ask = {.id = self->id,
                                     .incarnation = self->incarnation,
                                     .undone = history->is_undone,
                                     .pid = exit->pid};
        fixture_write(f, incarnations_end, NS, &ask, NULL, 0, &st);
        break;
    }
    }
}

/* Sets the clock on, and lets what becomes due until then go as it becomes due. */
static void pass_time(store_run_t *self, int64_t until)
{
    for (int64_t due = 0; due <= until;) {
        status_t st;
        store_key_t key;
        uint64_t number;
        txn_t *txn = txn_read(self->fixture->store, &st);
        bool any = held_first_due(txn, &due, &key, &number);
        txn_destroy(&txn);
        if (!any || due > until)
            break;
        fixture_release(self->fixture, due);
    }
    self->now = self->fixture->now = until;
}

static uint64_t number_of(const msgpack_object *event, const char *name)
{
    const msgpack_object *found = fixture_field(event, name);
    return found ? found->via.u64 : 0;
}

static history_entry_t entry_of(const msgpack_object *event, task_event_t kind)
{
    const msgpack_object *fields = fixture_field(event, "event");
    history_entry_t entry = {
        .kind = kind, .exec = -1, .is_ours = fixture_is(event, "origin", "shimd")};
    if (!entry.is_ours) {
        uint64_t exec = number_of(fields, "e");
        entry.exec = exec == 0x7f ? -1 : (int)exec;
        entry.pid = (uint32_t)number_of(fields, "p");
        entry.code = (uint32_t)number_of(fields, "c");
        return entry;
    }
    const msgpack_object *exec = fixture_field(fields, "exec_id");
    exec = exec ? exec : fixture_field(fields, "id");
    if (exec && exec->via.str.size == 2 && exec->via.str.ptr[0] == 'e')
        entry.exec = exec->via.str.ptr[1] - '0';
    entry.pid = (uint32_t)number_of(fields, "pid");
    entry.code = (uint32_t)number_of(fields, "exit_status");
    entry.is_unknown = fixture_field(fields, "unknown");
    return entry;
}

static void read_outcome(store_run_t *self, uint64_t since, history_outcome_t *ret)
{
    static const char *const topics[] = {
        "/tasks/create", "/tasks/start",      "/tasks/exit",
        "/tasks/delete", "/tasks/exec-added", "/tasks/exec-started",
        "/tasks/paused", "/tasks/resumed",    "/tasks/oom"};
    msg_event_list_t ask = {.since = since, .all = true, .limit = 10000};
    msg_event_page_t page;
    status_t st;
    size_t offset = 0;
    msgpack_object events;
    fixture_read(self->fixture, journal_list, NULL, &ask, &page, sizeof page, &st);
    assert_true(msgpack_unpack((const char *)page.events.data, page.events.size, &offset,
                               self->fixture->zone, &events) > 0);
    for (uint32_t i = 0; i < events.via.array.size; i++) {
        const msgpack_object *event = &events.via.array.ptr[i];
        assert_int_equal(number_of(event, "seq"), since + i);
        if (!fixture_is(event, "incarnation", self->incarnation))
            continue;
        for (size_t kind = 0; kind < ARRAY_SIZE(topics); kind++)
            if (fixture_is(event, "topic", topics[kind]))
                ret->entries[ret->count++] = entry_of(event, (task_event_t)kind);
    }
}

static uint64_t last_seq(fixture_t *f)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    return journal_last(txn, TABLE_JOURNAL);
}

static void run_history(void *arg, const history_t *history, history_outcome_t *ret)
{
    store_run_t *self = arg;
    fixture_t *f = self->fixture;
    status_t st;
    history_step_t steps[HISTORY_STEPS_MAX];
    size_t count = history_steps(history, steps);
    self->random = history->seed;
    snprintf(self->id, sizeof self->id, "h%zu", self->number++);
    util_uuid(self->incarnation);
    uint64_t since = last_seq(f) + 1;
    f->now = history->events[0].stamp;
    fixture_container(f, NS, self->id);
    assert_int_equal(fixture_begin(f, NS, self->id, self->incarnation, &st), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        pass_time(self, steps[i].time);
        self->step = &steps[i];
        run_step(self, history);
        if (history_random(&self->random, 100) < 2) /* killed */
            fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    }
    assert_nothing_is_held(f);
    read_outcome(self, since, ret);
    msgpack_zone_clear(f->zone);
}

static void test_histories(void **state)
{
    fixture_t *f = *state;
    store_run_t self = {.fixture = f};
    uint64_t seed = history_first_seed();
    /* A disk that costs nothing to flush, where that is possible. */
    if (!fixture_small_disk(f, "512m"))
        fprintf(stderr, "histories run on a real disk\n");
    for (size_t i = 0; i < HISTORIES; i++) {
        history_t history;
        history_make(&history, seed + i);
        history_prove(&history, run_history, &self);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_predecessors_are_waited_for),
        TEST(test_predecessors_are_written_when_they_do_not_come),
        TEST(test_what_requests_tell_is_written),
        TEST(test_what_the_shim_tells_is_not_written),
        TEST(test_exits_are_written),
        TEST(test_undone),
        TEST(test_a_told_task_that_is_undone_is_deleted),
        TEST(test_held_events_of_a_run_are_bounded),
        TEST(test_held_events_are_bounded),
        TEST(test_large_events_are_not_held),
        TEST(test_aside_is_listed),
        TEST(test_aside_is_bounded),
        TEST(test_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
