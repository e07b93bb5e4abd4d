/* Runs of containers: begin, exits, the end with its events, and events of shims once each. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/automaton.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/mend_walk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NS   "default"
#define INC1 "11111111-2222-4333-8444-555555555555"
#define INC2 "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

static status_code_t record_exit(fixture_t *f, const char *incarnation, const char *exec_id,
                                 uint32_t pid, uint32_t code, bool unknown)
{
    status_t st;
    msg_incarnation_exit_t ask = {.id = "c1",
                                  .incarnation = incarnation,
                                  .exec_id = exec_id,
                                  .pid = pid,
                                  .exit_status = code,
                                  .exited_at = 5000,
                                  .unknown = unknown,
                                  .source = "wait"};
    return fixture_write(f, incarnations_exit, NS, &ask, NULL, 0, &st);
}

static status_code_t get_exit(fixture_t *f, const char *exec_id, msg_exited_t *ret)
{
    status_t st;
    msg_exit_get_t ask = {.id = "c1", .exec_id = exec_id};
    return fixture_read(f, incarnations_exit_get, NS, &ask, ret, sizeof *ret, &st);
}

static status_code_t end(fixture_t *f, msg_incarnation_end_t ask)
{
    status_t st;
    ask.id = "c1";
    return fixture_write(f, incarnations_end, NS, &ask, NULL, 0, &st);
}

static bool is_complete(fixture_t *f, msg_incarnation_end_t ask)
{
    status_t st;
    ask.id = "c1";
    AUTO(txn)
    txn = txn_read(f->store, &st);
    return incarnations_is_complete(txn, NS, &ask);
}

static void shim_event(fixture_t *f, const char *topic, const char *exec_id, uint32_t pid,
                       int64_t time)
{
    fixture_shim_event(f, NS, topic, "c1", exec_id, pid, time);
}

/* The task events in the journal, as "topic origin incarnation;...", the incarnation as its first
 * letter. */
static const char *story(fixture_t *f)
{
    static char text[2048];
    msgpack_object events = fixture_journal(f);
    text[0] = '\0';
    for (uint32_t i = 0; i < events.via.array.size; i++) {
        const msgpack_object *event = &events.via.array.ptr[i];
        const msgpack_object_str *topic = &fixture_field(event, "topic")->via.str;
        const msgpack_object_str *origin = &fixture_field(event, "origin")->via.str;
        const msgpack_object_str *run = &fixture_field(event, "incarnation")->via.str;
        if (strncmp(topic->ptr, "/tasks/", 7))
            continue;
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%.*s %.*s %.*s;", (int)topic->size - 7,
                 topic->ptr + 7, (int)origin->size, origin->ptr, run->size ? 1 : 0, run->ptr);
    }
    return text;
}

static void begin(fixture_t *f, const char *incarnation)
{
    status_t st;
    assert_int_equal(fixture_begin(f, NS, "c1", incarnation, &st), STATUS_OK);
}

static void start(fixture_t *f, const char *incarnation)
{
    fixture_container(f, NS, "c1");
    begin(f, incarnation);
}

/* Methods ---------------------------------------------------------------------------------------
 */

static void test_begin(void **state)
{
    fixture_t *f = *state;
    status_t st;
    assert_int_equal(fixture_begin(f, NS, "c1", INC1, &st), STATUS_NOT_FOUND);
    assert_string_equal(st.text, "container \"c1\" in namespace \"default\": not found");
    fixture_container(f, NS, "c1");
    msg_incarnation_begin_t ask = {.id = "c1", .incarnation = INC1};
    msg_container_t answer;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            fixture_write(f, incarnations_begin, NS, &ask, &answer, sizeof answer, &st), STATUS_OK);
        assert_int_equal(answer.spec.size, 7);
    }
    assert_int_equal(fixture_begin(f, NS, "c1", INC2, &st), STATUS_ALREADY_EXISTS);
    assert_string_equal(st.text, "task c1: already exists");

    msg_container_delete_t gone = {.id = "c1"};
    assert_int_equal(fixture_write(f, containers_delete, NS, &gone, NULL, 0, &st),
                     STATUS_FAILED_PRECONDITION);
    assert_string_equal(st.text, "cannot delete container \"c1\" with an existing task");
    msg_incarnation_get_t get = {.id = "c1", .incarnation = INC1};
    assert_int_equal(fixture_read(f, incarnations_get, NS, &get, &answer, sizeof answer, &st),
                     STATUS_OK);
    get.incarnation = INC2;
    assert_int_equal(fixture_read(f, incarnations_get, NS, &get, &answer, sizeof answer, &st),
                     STATUS_NOT_FOUND);

    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 9}), STATUS_OK);
    assert_int_equal(fixture_begin(f, NS, "c1", INC1, &st), STATUS_FAILED_PRECONDITION);
    begin(f, INC2);
    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC2}), STATUS_OK);
    assert_int_equal(fixture_write(f, containers_delete, NS, &gone, NULL, 0, &st), STATUS_OK);
}

static void test_incarnation_must_be_a_uuid(void **state)
{
    (void)state;
    status_t st;
    msg_incarnation_begin_t ask = {.id = "c1", .incarnation = "x"};
    assert_int_equal(incarnations_check_begin(&ask, &st), STATUS_INVALID_ARGUMENT);
    ask.incarnation = INC1;
    assert_int_equal(incarnations_check_begin(&ask, &st), STATUS_OK);
}

static void test_exit_is_recorded_once(void **state)
{
    fixture_t *f = *state;
    msg_exited_t exited;
    assert_int_equal(record_exit(f, INC1, NULL, 9, 7, false), STATUS_NOT_FOUND);
    start(f, INC1);
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_NOT_FOUND);
    assert_int_equal(record_exit(f, INC1, NULL, 9, 0, true), STATUS_OK);
    assert_int_equal(record_exit(f, INC1, NULL, 9, 7, false), STATUS_OK); /* known at last */
    assert_int_equal(record_exit(f, INC1, NULL, 9, 137, false), STATUS_OK);
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_OK);
    assert_int_equal(exited.exit_status, 7);
    assert_int_equal(exited.pid, 9);
    assert_false(exited.unknown);

    assert_int_equal(get_exit(f, "e1", &exited), STATUS_NOT_FOUND);
    assert_int_equal(record_exit(f, INC1, "e1", 10, 3, false), STATUS_OK);
    assert_int_equal(record_exit(f, INC1, "e1", 11, 4, false), STATUS_OK); /* the id used again */
    assert_int_equal(get_exit(f, "e1", &exited), STATUS_OK);
    assert_int_equal(exited.exit_status, 4);
}

static void test_exit_outlives_task_and_container(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_exited_t exited;
    start(f, INC1);
    assert_int_equal(end(f,
                         (msg_incarnation_end_t){
                             .incarnation = INC1, .pid = 9, .exit_status = 7, .exited_at = 5}),
                     STATUS_OK);
    msg_container_delete_t gone = {.id = "c1"};
    assert_int_equal(fixture_write(f, containers_delete, NS, &gone, NULL, 0, &st), STATUS_OK);
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_OK);
    assert_int_equal(exited.exit_status, 7);
    /* A run that never came to be leaves it as the newest; one that did, does not. */
    start(f, INC2);
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_NOT_FOUND);
    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC2, .undone = true}),
                     STATUS_OK);
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_OK);
    assert_int_equal(exited.exit_status, 7);
}

/* Ends ------------------------------------------------------------------------------------------
 */

static void test_end_with_all_events(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    msg_incarnation_end_t ask = {.incarnation = INC1, .pid = 9, .exited_at = 5};
    shim_event(f, "/tasks/create", NULL, 9, 1);
    shim_event(f, "/tasks/start", NULL, 9, 2);
    assert_false(is_complete(f, ask));
    shim_event(f, "/tasks/exit", "c1", 9, 3);
    assert_string_equal(f->told, "default/c1");
    assert_false(is_complete(f, ask));
    shim_event(f, "/tasks/delete", NULL, 9, 4);
    assert_true(is_complete(f, ask));
    assert_int_equal(end(f, ask), STATUS_OK);
    assert_int_equal(end(f, ask), STATUS_OK);
    assert_string_equal(story(f), "create shim 1;start shim 1;exit shim 1;delete shim 1;");
}

static void test_end_writes_what_is_missing(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    shim_event(f, "/tasks/start", NULL, 9, 2);
    record_exit(f, INC1, NULL, 9, 7, false);
    msg_incarnation_end_t ask = {.incarnation = INC1, .pid = 9, .exit_status = 137, .exited_at = 5};
    assert_int_equal(end(f, ask), STATUS_OK);
    assert_string_equal(story(f), "create shim 1;start shim 1;exit shimd 1;delete shimd 1;");
    msgpack_object events = fixture_journal(f);
    const msgpack_object *exit =
        fixture_field(&events.via.array.ptr[events.via.array.size - 2], "event");
    assert_int_equal(fixture_field(exit, "exit_status")->via.u64, 7); /* the recorded one */
    assert_int_equal(fixture_field(exit, "exited_at")->via.u64, 5000);
    assert_int_equal(fixture_field(exit, "pid")->via.u64, 9);
    assert_true(fixture_is(exit, "id", "c1"));
    /* The shim's own come after all: they are there already. */
    shim_event(f, "/tasks/exit", "c1", 9, 3);
    shim_event(f, "/tasks/delete", NULL, 9, 4);
    assert_int_equal(f->acknowledged, 4);
    assert_string_equal(story(f), "create shim 1;start shim 1;exit shimd 1;delete shimd 1;");
}

static void test_end_of_what_never_ran(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    msg_incarnation_end_t ask = {.incarnation = INC1, .pid = 9};
    assert_false(is_complete(f, ask));
    assert_int_equal(end(f, ask), STATUS_OK);
    assert_string_equal(story(f), "create shim 1;delete shimd 1;");
    shim_event(f, "/tasks/exit", "c1", 9, 3); /* too late */
    assert_string_equal(story(f), "create shim 1;delete shimd 1;");
}

/* A task that was deleted before its start: a shim may tell of the exit after the delete. */
static void test_exit_of_what_never_ran_comes_before_the_delete(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    shim_event(f, "/tasks/delete", NULL, 9, 3);
    assert_string_equal(story(f), "create shim 1;");
    assert_false(is_complete(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 9}));
    shim_event(f, "/tasks/exit", "c1", 9, 2);
    fixture_release(f, util_now_ns() + AUTOMATON_WAIT_MAX_NS);
    assert_string_equal(story(f), "create shim 1;exit shim 1;delete shim 1;");
    assert_true(is_complete(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 9}));
}

static void test_end_undone(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    assert_true(is_complete(f, (msg_incarnation_end_t){.incarnation = INC1, .undone = true}));
    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC1, .undone = true}),
                     STATUS_OK);
    assert_string_equal(story(f), "");
    assert_int_equal(fixture_count(f, TABLE_HEADS), 0);
}

static void test_end_of_unknown_exit(void **state)
{
    fixture_t *f = *state;
    msg_exited_t exited;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    shim_event(f, "/tasks/start", NULL, 9, 2);
    msg_incarnation_end_t ask = {.incarnation = INC1,
                                 .pid = 9,
                                 .unknown = true,
                                 .why = "the shim was killed",
                                 .shim_lost = true};
    assert_true(is_complete(f, ask));
    assert_int_equal(end(f, ask), STATUS_OK);
    assert_string_equal(story(f), "create shim 1;start shim 1;exit shimd 1;delete shimd 1;");
    msgpack_object events = fixture_journal(f);
    const msgpack_object *exit =
        fixture_field(&events.via.array.ptr[events.via.array.size - 2], "event");
    assert_true(fixture_field(exit, "unknown")->via.boolean);
    assert_true(fixture_is(exit, "why", "the shim was killed"));
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_OK);
    assert_true(exited.unknown);
}

static void test_end_does_not_wait_without_a_process(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    assert_true(is_complete(f, (msg_incarnation_end_t){.incarnation = INC1}));
    assert_true(is_complete(f, (msg_incarnation_end_t){.incarnation = INC2, .pid = 9}));
}

/* Events once each ------------------------------------------------------------------------------
 */

static void test_repeats_are_dropped(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    for (int i = 0; i < 2; i++) {
        shim_event(f, "/tasks/create", NULL, 9, 1 + i * 10); /* a new time does not make it new */
        shim_event(f, "/tasks/start", NULL, 9, 2);
        shim_event(f, "/tasks/paused", NULL, 0, 3); /* the same envelope again */
        shim_event(f, "/tasks/resumed", NULL, 0, 4);
        shim_event(f, "/tasks/exec-added", "e1", 0, 5);
        shim_event(f, "/tasks/exec-started", "e1", 10, 6);
        shim_event(f, "/tasks/exit", "e1", 10, 7);
    }
    shim_event(f, "/tasks/paused", NULL, 0, 8); /* another one */
    assert_int_equal(f->acknowledged, 15);
    assert_string_equal(story(f),
                        "create shim 1;start shim 1;paused shim 1;resumed shim 1;"
                        "exec-added shim 1;exec-started shim 1;exit shim 1;paused shim 1;");
    assert_string_equal(f->told, ""); /* an exec's exit is not the task's */
}

static void test_exec_id_used_again(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    shim_event(f, "/tasks/start", NULL, 9, 2);
    for (uint32_t i = 0; i < 3; i++) {
        shim_event(f, "/tasks/exec-added", "e1", 0, 10 + i * 10);
        shim_event(f, "/tasks/exec-started", "e1", 20 + i, 11 + i * 10);
        shim_event(f, "/tasks/exit", "e1", 20 + i, 12 + i * 10);
        shim_event(f, "/tasks/exit", "e1", 20 + i, 12 + i * 10);
    }
    assert_string_equal(story(f), "create shim 1;start shim 1;"
                                  "exec-added shim 1;exec-started shim 1;exit shim 1;"
                                  "exec-added shim 1;exec-started shim 1;exit shim 1;"
                                  "exec-added shim 1;exec-started shim 1;exit shim 1;");
    shim_event(f, "/tasks/exec-started", "e3", 60, 61);
    shim_event(f, "/tasks/exec-added", "e3", 0, 60); /* overtaken */
    shim_event(f, "/tasks/exec-started", "e3", 60, 61);
    assert_non_null(strstr(story(f), "exit shim 1;exec-added shim 1;exec-started shim 1;"));
    assert_int_equal(f->acknowledged, 17);
}

static void test_exec_whose_start_failed_is_added_again(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    shim_event(f, "/tasks/start", NULL, 9, 2);
    shim_event(f, "/tasks/exec-added", "e2", 0, 50);
    shim_event(f, "/tasks/exec-added", "e2", 0, 51);
    fixture_release(f, util_now_ns() + AUTOMATON_WAIT_MAX_NS);
    assert_string_equal(story(f), "create shim 1;start shim 1;exec-added shim 1;"
                                  "exec-added shim 1;");
}

static void test_late_event_of_the_run_before(void **state)
{
    fixture_t *f = *state;
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 9, 1);
    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 9}), STATUS_OK);
    begin(f, INC2);
    shim_event(f, "/tasks/exit", "c1", 9, 3);   /* of the first run, before the second is known */
    shim_event(f, "/tasks/delete", NULL, 9, 4); /* a repeat in the first run */
    shim_event(f, "/tasks/create", NULL, 12, 5);
    shim_event(f, "/tasks/start", NULL, 9, 2); /* again the first */
    shim_event(f, "/tasks/start", NULL, 12, 6);
    shim_event(f, "/tasks/exit", "c1", 77, 7); /* of nobody we know */
    shim_event(f, "/tasks/exit", "c1", 12, 8);
    assert_string_equal(story(f), "create shim 1;delete shimd 1;create shim a;start shim a;"
                                  "exit shim a;");
    assert_int_equal(fixture_count(f, TABLE_ASIDE), 4);
}

static void test_events_of_strangers(void **state)
{
    fixture_t *f = *state;
    fixture_shim_event(f, "other", "/tasks/exit", "nobody", "nobody", 9, 1);
    fixture_shim_event(f, "other", "/my/topic", "nobody", NULL, 0, 2);
    fixture_shim_event(f, "other", "/tasks/exit", "../bad id", NULL, 9, 3);
    assert_int_equal(f->acknowledged, 3);
    assert_int_equal(fixture_journal(f).via.array.size, 3);
    assert_string_equal(story(f), "exit shim ;exit shim ;");
}

static void test_refused_shim_events(void **state)
{
    fixture_t *f = *state;
    status_t st;
    intake_event_t event = {.ns = "../x", .topic = "/a", .type = "t"};
    assert_int_equal(intake_add(f->intake, &event, NULL, NULL, &st), STATUS_INVALID_ARGUMENT);
    event = (intake_event_t){.ns = "x", .topic = "a", .type = "t"};
    assert_int_equal(intake_add(f->intake, &event, NULL, NULL, &st), STATUS_INVALID_ARGUMENT);
    event = (intake_event_t){.ns = "x", .topic = "/a", .type = "t"};
    AUTO_FREE uint8_t *large = zmalloc(JOURNAL_EVENT_MAX + 1);
    event.raw = (msg_bytes_t){.data = large, .size = JOURNAL_EVENT_MAX + 1};
    assert_int_equal(intake_add(f->intake, &event, NULL, NULL, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(batch_waiting(f->batch), 0);
}

/* A full disk -----------------------------------------------------------------------------------
 */

static void test_events_wait_while_the_disk_is_full(void **state)
{
    fixture_t *f = *state;
    if (!fixture_small_disk(f, "2m")) {
        fprintf(stderr, "SKIPPED: cannot mount a small tmpfs: %s\n", strerror(errno));
        skip();
    }
    start(f, INC1);
    size_t before = fixture_journal(f).via.array.size;
    fixture_fill_disk(f);
    for (uint32_t i = 0; i < 200; i++)
        fixture_shim_event(f, NS, "/my/topic", "nobody", NULL, 0, i);
    size_t waiting = intake_waiting(f->intake);
    assert_in_range(waiting, 1, 200);
    assert_int_equal(f->acknowledged + waiting, 200);
    assert_int_equal(f->given_up, 0);

    /* Tried again in vain: one of them, which stays the first. */
    uint64_t tried = batch_count(f->batch);
    while (batch_count(f->batch) == tried)
        io_set_turn(f->io);
    batch_commit(f->batch);
    assert_int_equal(batch_count(f->batch), tried + 1);
    assert_int_equal(intake_waiting(f->intake), waiting);

    fixture_free_disk(f);
    while (intake_waiting(f->intake)) {
        io_set_turn(f->io);
        while (batch_waiting(f->batch))
            batch_commit(f->batch);
    }
    assert_int_equal(f->acknowledged, 200);
    msgpack_object events = fixture_journal(f);
    assert_int_equal(events.via.array.size, before + 200);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(fixture_field(&events.via.array.ptr[before + i], "time")->via.u64, i);
}

static void test_waiting_events_are_bounded(void **state)
{
    fixture_t *f = *state;
    if (!fixture_small_disk(f, "2m"))
        skip(); /* said above */
    fixture_fill_disk(f);
    for (uint32_t i = 0; i < INTAKE_RETRY_MAX + 100; i++)
        fixture_shim_event(f, NS, "/my/topic", "nobody", NULL, 0, i);
    assert_int_equal(intake_waiting(f->intake), INTAKE_RETRY_MAX);
    assert_int_equal(f->acknowledged + f->given_up, 100);
    assert_true(f->given_up > 0);
    fixture_free_disk(f);
}

/* Expiry ----------------------------------------------------------------------------------------
 */

static void test_runs_expire(void **state)
{
    fixture_t *f = *state;
    msg_exited_t exited;
    f->now = 1000;
    start(f, INC1);
    for (uint32_t i = 0; i < 10; i++) {
        char exec_id[16];
        snprintf(exec_id, sizeof exec_id, "e%u", i);
        record_exit(f, INC1, exec_id, 10 + i, 0, false);
    }
    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 9, .exited_at = 5}),
                     STATUS_OK);
    assert_int_equal(fixture_count(f, TABLE_EXITS), 11);

    /* Other runs of the same container come and go: what has expired goes, a few at a time. */
    f->now = 1001 + INCARNATIONS_KEEP_NS;
    for (int i = 0; i < 12; i++) {
        char incarnation[UTIL_UUID_SIZE];
        util_uuid(incarnation);
        begin(f, incarnation);
        assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = incarnation}), STATUS_OK);
        assert_int_equal(get_exit(f, NULL, &exited), STATUS_NOT_FOUND);
    }
    assert_int_equal(fixture_count(f, TABLE_EXITS), 0);
    assert_int_equal(fixture_count(f, TABLE_PROCESSES), 12);
    assert_int_equal(fixture_count(f, TABLE_EXPIRY), 12);
    assert_int_equal(fixture_count(f, TABLE_HEADS), 1);
}

static void test_last_run_takes_its_head_along(void **state)
{
    fixture_t *f = *state;
    f->now = 1000;
    start(f, INC1);
    end(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 9, .exited_at = 5});
    f->now = 1001 + INCARNATIONS_KEEP_NS;
    status_t st;
    fixture_container(f, NS, "c2");
    assert_int_equal(fixture_begin(f, NS, "c2", INC2, &st), STATUS_OK);
    msg_incarnation_end_t ask = {.id = "c2", .incarnation = INC2};
    assert_int_equal(fixture_write(f, incarnations_end, NS, &ask, NULL, 0, &st), STATUS_OK);
    assert_int_equal(fixture_count(f, TABLE_HEADS), 1);
    assert_int_equal(fixture_count(f, TABLE_EXITS), 0);
}

/* Lost records -----------------------------------------------------------------------------------
 */

static void committed(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static void clear_table(void *arg, txn_t *txn)
{
    scan_t scan;
    table_t table = *(const table_t *)arg;
    while (scan_seek(&scan, txn, table, NULL, 0)) {
        store_key_t key = {.size = scan.key.size};
        memcpy(key.bytes, scan.key.data, key.size);
        scan_close(&scan);
        txn_delete(txn, table, key.bytes, key.size);
    }
    scan_close(&scan);
}

static void lose_table(fixture_t *f, table_t table)
{
    batch_add(f->batch, clear_table, committed, &table);
    batch_commit(f->batch);
    assert_int_equal(fixture_count(f, table), 0);
}

#define STARTED_STORY                                                                              \
    "create shim 1;start shim 1;exec-added shim 1;exec-started shim 1;exec-added shim 1;"

static void start_with_execs(fixture_t *f, int64_t now)
{
    start(f, INC1);
    shim_event(f, "/tasks/create", NULL, 7, now);
    shim_event(f, "/tasks/start", NULL, 7, now + 1);
    shim_event(f, "/tasks/exec-added", "e1", 0, now + 2);
    shim_event(f, "/tasks/exec-started", "e1", 8, now + 3);
    shim_event(f, "/tasks/exec-added", "e2", 0, now + 4);
    assert_string_equal(story(f), STARTED_STORY);
}

/* What was seen of a run that goes on is lost: the journal tells it. */
static void test_lost_processes(void **state)
{
    fixture_t *f = *state;
    msg_exited_t exited;
    int64_t now = util_now_ns();
    start_with_execs(f, now);
    lose_table(f, TABLE_PROCESSES);
    assert_int_equal(record_exit(f, INC1, NULL, 7, 3, false), STATUS_OK);
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_OK);
    assert_int_equal(exited.exit_status, 3);
    shim_event(f, "/tasks/start", NULL, 7, now + 1); /* once more */
    shim_event(f, "/tasks/exit", NULL, 7, now + 7);  /* before that of the exec, which is open */
    assert_string_equal(story(f), STARTED_STORY);
    lose_table(f, TABLE_PROCESSES);
    shim_event(f, "/tasks/exec-started", "e2", 9, now + 5);
    shim_event(f, "/tasks/exit", "e2", 9, now + 6);
    shim_event(f, "/tasks/exit", "e1", 8, now + 6);
    assert_string_equal(story(f),
                        STARTED_STORY "exec-started shim 1;exit shim 1;exit shim 1;exit shim 1;");
    shim_event(f, "/tasks/delete", NULL, 7, now + 8);
    assert_int_equal(end(f, (msg_incarnation_end_t){.incarnation = INC1, .pid = 7}), STATUS_OK);
    assert_string_equal(story(f), STARTED_STORY
                        "exec-started shim 1;exit shim 1;exit shim 1;exit shim 1;delete shim 1;");
    assert_int_equal(record_exit(f, INC2, NULL, 7, 3, false), STATUS_NOT_FOUND);
}

static void mend_exec(void *arg, txn_t *txn)
{
    store_key_t key = STORE_KEY(NS, "c1", INC1, arg);
    txn_delete(txn, TABLE_PROCESSES, key.bytes, key.size);
    mend_walk_t *walk = mend_walk_of_run(txn, &key);
    mend_walk_finish(&walk, txn);
}

static void test_lost_exec(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    start_with_execs(f, now);
    for (size_t i = 0; i < 2; i++) {
        batch_add(f->batch, mend_exec, committed, i ? "e2" : "e1");
        batch_commit(f->batch);
    }
    shim_event(f, "/tasks/exec-added", "e2", 0, now + 4);
    shim_event(f, "/tasks/exec-started", "e1", 8, now + 3);
    shim_event(f, "/tasks/exit", NULL, 7, now + 7);
    assert_string_equal(story(f), STARTED_STORY);
    shim_event(f, "/tasks/exit", "e1", 8, now + 6);
    assert_string_equal(story(f), STARTED_STORY "exit shim 1;exit shim 1;");
}

/* Its first events were trimmed too: it has been running since. */
static void test_lost_processes_of_an_old_run(void **state)
{
    fixture_t *f = *state;
    msg_exited_t exited;
    start_with_execs(f, util_now_ns());
    lose_table(f, TABLE_PROCESSES);
    lose_table(f, TABLE_JOURNAL);
    fixture_shim_event(f, NS, "/tasks/oom", "other", NULL, 0, util_now_ns());
    assert_int_equal(record_exit(f, INC1, NULL, 7, 3, false), STATUS_OK);
    shim_event(f, "/tasks/exit", NULL, 7, util_now_ns());
    assert_string_equal(story(f), "oom shim ;exit shim 1;");
    assert_int_equal(get_exit(f, NULL, &exited), STATUS_OK);
    assert_int_equal(exited.exit_status, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_begin),
        cmocka_unit_test(test_incarnation_must_be_a_uuid),
        TEST(test_exit_is_recorded_once),
        TEST(test_exit_outlives_task_and_container),
        TEST(test_end_with_all_events),
        TEST(test_end_writes_what_is_missing),
        TEST(test_end_of_what_never_ran),
        TEST(test_exit_of_what_never_ran_comes_before_the_delete),
        TEST(test_end_undone),
        TEST(test_end_of_unknown_exit),
        TEST(test_end_does_not_wait_without_a_process),
        TEST(test_repeats_are_dropped),
        TEST(test_exec_id_used_again),
        TEST(test_exec_whose_start_failed_is_added_again),
        TEST(test_late_event_of_the_run_before),
        TEST(test_events_of_strangers),
        TEST(test_refused_shim_events),
        TEST(test_events_wait_while_the_disk_is_full),
        TEST(test_waiting_events_are_bounded),
        TEST(test_runs_expire),
        TEST(test_last_run_takes_its_head_along),
        TEST(test_lost_exec),
        TEST(test_lost_processes),
        TEST(test_lost_processes_of_an_old_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
