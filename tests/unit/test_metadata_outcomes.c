/* What is kept of a container's requests and exits. */
#include "tests/unit/story_fixture.h"

#include "common/util.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/requests.h"

#define DAY ((int64_t)24 * 3600 * 1000000000)

static void record(fixture_t *f, const char *method, const char *id, const char *key,
                   const char *value)
{
    status_t st;
    msg_empty_t nothing;
    msg_label_t label = {.key = key, .value = value};
    const msg_peer_t peer = {.pid = 4, .uid = 1000, .gid = 1000, .comm = "shimctl"};
    msg_request_record_t ask = {.method = method,
                                .ns = STORY_NS,
                                .target = id,
                                .peer = &peer,
                                .asked_at = f->now - 5,
                                .answer = {.data = (const uint8_t *)"\x80", .size = 1},
                                .asked = {.items = &label, .count = key != NULL}};
    msg_uuid_new(&ask.id);
    assert_int_equal(fixture_write(f, requests_record, NULL, &ask, &nothing, sizeof nothing, &st),
                     0);
}

static msg_outcomes_t requests_of(fixture_t *f, const char *id, const msg_bytes_t *after,
                                  uint32_t limit)
{
    status_t st;
    msg_outcomes_t answer;
    msg_request_list_t ask = {.id = id, .limit = limit};
    if (after)
        ask.after = *after;
    assert_int_equal(fixture_read(f, requests_list, STORY_NS, &ask, &answer, sizeof answer, &st),
                     0);
    return answer;
}

static void lists_requests_in_order_with_what_they_asked(void **state)
{
    fixture_t *f = *state;
    f->now = util_now_ns();
    record(f, "task.start", "a", NULL, NULL);
    record(f, "task.start", "ab", NULL, NULL);
    f->now += 1000;
    record(f, "task.kill", "a", "signal", "9");
    msg_outcomes_t found = requests_of(f, "a", NULL, 0);
    assert_int_equal(found.requests.count, 2);
    assert_null(found.next.data);
    const msg_outcome_t *kill = &found.requests.items[1];
    assert_string_equal(found.requests.items[0].method, "task.start");
    assert_string_equal(kill->method, "task.kill");
    assert_string_equal(kill->asked.items[0].value, "9");
    assert_string_equal(kill->peer->comm, "shimctl");
    assert_int_equal(kill->asked_at, f->now - 5);
    assert_null(kill->answer.data);
}

static void pages_requests(void **state)
{
    fixture_t *f = *state;
    f->now = util_now_ns();
    for (int i = 0; i < 3; i++, f->now++)
        record(f, "task.start", "a", NULL, NULL);
    msg_outcomes_t page = requests_of(f, "a", NULL, 2);
    assert_int_equal(page.requests.count, 2);
    assert_non_null(page.next.data);
    page = requests_of(f, "a", &page.next, 2);
    assert_int_equal(page.requests.count, 1);
    assert_null(page.next.data);
    status_t st;
    const msg_request_list_t ask = {.id = "a", .after = {.data = (const uint8_t *)"x", .size = 1}};
    assert_int_equal(fixture_read(f, requests_list, STORY_NS, &ask, &page, sizeof page, &st),
                     STATUS_INVALID_ARGUMENT);
}

static void requests_are_forgotten_with_their_outcomes(void **state)
{
    fixture_t *f = *state;
    f->now = util_now_ns();
    record(f, "task.start", "a", NULL, NULL);
    f->now += REQUESTS_KEEP_NS + DAY;
    record(f, "task.start", "b", NULL, NULL);
    assert_int_equal(requests_of(f, "a", NULL, 0).requests.count, 0);
    assert_int_equal(fixture_count(f, TABLE_TARGETS), 1);
}

static msg_exit_records_t exits(fixture_t *f, const msg_exit_list_t *ask)
{
    status_t st;
    msg_exit_records_t answer;
    assert_int_equal(fixture_read(f, exit_records_list, ask->all ? NULL : STORY_NS, ask, &answer,
                                  sizeof answer, &st),
                     0);
    return answer;
}

static void lists_exits_newest_first_after_their_tasks_are_gone(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    story_leave(f, "a", STORY_RUN_1, "e", 3, now - 20);
    story_leave(f, "a", STORY_RUN_1, NULL, 137, now - 10);
    story_end(f, "a", STORY_RUN_1);
    story_begin(f, "a", STORY_RUN_2);
    story_leave(f, "a", STORY_RUN_2, NULL, 0, now - 5);
    msg_exit_records_t found = exits(f, &(msg_exit_list_t){.all = true});
    assert_int_equal(found.exits.count, 3);
    const msg_exit_record_t *rows = found.exits.items;
    assert_string_equal(rows[0].incarnation, STORY_RUN_2);
    assert_string_equal(rows[1].incarnation, STORY_RUN_1);
    assert_int_equal(rows[1].exit_status, 137);
    assert_string_equal(rows[1].source, "wait");
    assert_string_equal(rows[2].exec_id, "e");
    assert_string_equal(rows[2].id, "a");
    assert_string_equal(rows[2].ns, STORY_NS);
}

static void filters_and_pages_exits(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    const char *filter = "exit_status!=0";
    fixture_container(f, STORY_NS, "a");
    fixture_container(f, STORY_NS, "ab");
    story_begin(f, "a", STORY_RUN_1);
    story_begin(f, "ab", STORY_RUN_2);
    story_leave(f, "a", STORY_RUN_1, NULL, 0, now - 10);
    story_leave(f, "ab", STORY_RUN_2, NULL, 1, now - 20);
    assert_int_equal(exits(f, &(msg_exit_list_t){.id = "a"}).exits.count, 1);
    msg_exit_list_t ask = {.filters = {.items = &filter, .count = 1}};
    msg_exit_records_t found = exits(f, &ask);
    assert_int_equal(found.exits.count, 1);
    assert_string_equal(found.exits.items[0].id, "ab");
    ask = (msg_exit_list_t){.limit = 1};
    found = exits(f, &ask);
    assert_string_equal(found.exits.items[0].id, "a");
    ask.after = found.next;
    found = exits(f, &ask);
    assert_int_equal(found.exits.count, 1);
    assert_string_equal(found.exits.items[0].id, "ab");
    assert_null(found.next.data);
}

static void an_exit_has_one_place_in_time(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_restart_due_t due;
    int64_t now = util_now_ns();
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    const msg_incarnation_exit_t unknown = {.id = "a",
                                            .incarnation = STORY_RUN_1,
                                            .pid = 7,
                                            .exited_at = now - 30,
                                            .unknown = true,
                                            .why = "its shim was lost"};
    assert_int_equal(fixture_write(f, incarnations_exit, STORY_NS, &unknown, &due, sizeof due, &st),
                     0);
    story_leave(f, "a", STORY_RUN_1, NULL, 3, now - 10);
    msg_exit_records_t found = exits(f, &(msg_exit_list_t){.id = "a"});
    assert_int_equal(found.exits.count, 1);
    assert_int_equal(found.exits.items[0].exit_status, 3);
    assert_int_equal(fixture_count(f, TABLE_ENDS), 1);
}

static void exits_are_forgotten_with_their_index(void **state)
{
    fixture_t *f = *state;
    f->now = util_now_ns();
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    story_leave(f, "a", STORY_RUN_1, "e", 3, f->now - 20);
    story_leave(f, "a", STORY_RUN_1, NULL, 0, f->now - 10);
    story_end(f, "a", STORY_RUN_1);
    assert_int_equal(fixture_count(f, TABLE_ENDS), 2);
    f->now += INCARNATIONS_KEEP_NS + DAY;
    for (int i = 0; i < 4; i++)
        record(f, "task.start", "b", NULL, NULL);
    assert_int_equal(fixture_count(f, TABLE_EXITS), 0);
    assert_int_equal(fixture_count(f, TABLE_ENDS), 0);
}

static void drop_first_of(void *arg, txn_t *txn)
{
    scan_t scan;
    table_t table = *(const table_t *)arg;
    assert_true(scan_seek(&scan, txn, table, NULL, 0));
    store_key_t key = {.size = scan.key.size};
    memcpy(key.bytes, scan.key.data, key.size);
    scan_close(&scan);
    txn_delete(txn, table, key.bytes, key.size);
}

static void make_derived(void *arg, txn_t *txn)
{
    (void)arg;
    mend_derived(txn);
}

/* No code is made up for a record that is lost; the index is made again. */
static void a_lost_exit_is_not_listed(void **state)
{
    fixture_t *f = *state;
    table_t exits_table = TABLE_EXITS, ends_table = TABLE_ENDS;
    int64_t now = util_now_ns();
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    story_leave(f, "a", STORY_RUN_1, "e", 3, now - 20);
    story_leave(f, "a", STORY_RUN_1, "g", 4, now - 10);
    batch_add(f->batch, drop_first_of, story_committed, &exits_table);
    batch_commit(f->batch);
    for (int i = 0; i < 2; i++) {
        msg_exit_records_t found = exits(f, &(msg_exit_list_t){.id = "a"});
        assert_int_equal(found.exits.count, 1);
        assert_int_equal(found.exits.items[0].exit_status, 4);
        batch_add(f->batch, drop_first_of, story_committed, &ends_table);
        batch_add(f->batch, make_derived, story_committed, NULL);
        batch_commit(f->batch);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_requests_in_order_with_what_they_asked),
        TEST(pages_requests),
        TEST(requests_are_forgotten_with_their_outcomes),
        TEST(lists_exits_newest_first_after_their_tasks_are_gone),
        TEST(filters_and_pages_exits),
        TEST(an_exit_has_one_place_in_time),
        TEST(exits_are_forgotten_with_their_index),
        TEST(a_lost_exit_is_not_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
