/* The trail of a container's events. */
#include "tests/unit/story_fixture.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/process_record.h"

static void finds_the_events_of_one_container_among_others(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    fixture_container(f, STORY_NS, "a");
    fixture_container(f, STORY_NS, "b");
    story_begin(f, "a", STORY_RUN_1);
    story_begin(f, "b", STORY_RUN_2);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "b", NULL, 9, now);
    fixture_shim_event(f, STORY_NS, "/tasks/start", "a", NULL, 7, now + 1);
    fixture_shim_event(f, "elsewhere", "/tasks/start", "a", NULL, 7, now + 1);
    static const char *const all[] = {"/tasks/start", "/tasks/create", "/containers/create"};
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all, 3);
    assert_int_equal(trail.next, 0);
    assert_false(trail.gap);
    trail = story_about(f, "nobody", 0, 0);
    story_assert_topics(f, &trail, NULL, 0);
    assert_false(trail.gap);
}

static void pages_the_trail(void **state)
{
    fixture_t *f = *state;
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, util_now_ns());
    static const char *const first[] = {"/tasks/create"}, *const second[] = {"/containers/create"};
    msg_event_trail_t page = story_about(f, "a", 0, 1);
    story_assert_topics(f, &page, first, 1);
    assert_int_not_equal(page.next, 0);
    page = story_about(f, "a", page.next, 1);
    story_assert_topics(f, &page, second, 1);
    assert_int_equal(page.next, 0);
}

static void outlives_the_container(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_empty_t nothing;
    fixture_container(f, STORY_NS, "a");
    const msg_container_delete_t ask = {.id = "a"};
    assert_int_equal(
        fixture_write(f, containers_delete, STORY_NS, &ask, &nothing, sizeof nothing, &st), 0);
    static const char *const all[] = {"/containers/delete", "/containers/create"};
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all, 2);
}

/* Whichever record has the end of the trail: before, during and after a run, also one that the
 * store has been opened again in. */
static void the_trail_leads_through_runs_and_updates(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    static const char *const all[] = {"/containers/update", "/tasks/create", "/containers/update",
                                      "/tasks/delete",      "/tasks/exit",   "/containers/update",
                                      "/tasks/start",       "/tasks/create", "/containers/update",
                                      "/containers/create"};
    fixture_container(f, STORY_NS, "a");
    story_update(f, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, now);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    fixture_shim_event(f, STORY_NS, "/tasks/start", "a", NULL, 7, now + 1);
    story_update(f, "a");
    story_leave(f, "a", STORY_RUN_1, NULL, 0, now + 2);
    story_end(f, "a", STORY_RUN_1);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    story_update(f, "a");
    story_begin(f, "a", STORY_RUN_2);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 8, now + 3);
    story_update(f, "a");
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all, ARRAY_SIZE(all));
    assert_false(trail.gap);
}

/* As version 2 had it: without the number. */
static void make_older(void *arg, txn_t *txn)
{
    store_key_t key = STORE_KEY(STORY_NS, "a", STORY_RUN_1, "");
    msg_bytes_t found;
    uint8_t bytes[sizeof(process_record_t)];
    size_t head = offsetof(process_record_t, newest), number = sizeof(uint64_t);
    (void)arg;
    assert_true(txn_get(txn, TABLE_PROCESSES, key.bytes, key.size, &found));
    memcpy(bytes, found.data, head);
    memcpy(bytes + head, found.data + head + number, found.size - head - number);
    bytes[0] = 2;
    txn_put(txn, TABLE_PROCESSES, key.bytes, key.size, bytes, found.size - number);
}

static void a_run_of_an_older_store_goes_on(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    static const char *const all[] = {"/tasks/exit", "/tasks/start", "/containers/create"};
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, now);
    batch_add(f->batch, make_older, story_committed, NULL);
    batch_commit(f->batch);
    fixture_shim_event(f, STORY_NS, "/tasks/start", "a", NULL, 7, now + 1);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 3, now + 2);
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all,
                        ARRAY_SIZE(all)); /* it is linked past what it had no number of */
}

static void tells_where_the_journal_no_longer_reaches_back(void **state)
{
    fixture_t *f = *state;
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, util_now_ns());
    /* The namespace's own event and the container's. */
    story_drop_events(f, (int)fixture_count(f, TABLE_JOURNAL) - 1);
    static const char *const left[] = {"/tasks/create"};
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, left, 1);
    assert_true(trail.gap);
    assert_int_equal(trail.next, 0);
}

/* As is where a link leads that was made again after damage. */
static void behind_an_event_of_another_the_next_is_looked_for(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/containers/create"};
    fixture_container(f, STORY_NS, "a");
    fixture_container(f, STORY_NS, "b");
    msgpack_object events = fixture_journal(f);
    const msgpack_object *last = &events.via.array.ptr[events.via.array.size - 1];
    uint64_t of_b = fixture_field(last, "seq")->via.u64;
    msg_event_trail_t trail = story_about(f, "a", of_b, 0);
    story_assert_topics(f, &trail, all, 1);
    assert_false(trail.gap);
    trail = story_about(f, "nobody", of_b, 0);
    story_assert_topics(f, &trail, NULL, 0);
    assert_true(trail.gap);
    assert_int_equal(trail.next, 0);
}

static void numbers_of_events_that_are_gone_go_too(void **state)
{
    fixture_t *f = *state;
    for (int i = 0; i < 50; i++) {
        char id[32];
        snprintf(id, sizeof id, "old%d", i);
        fixture_container(f, STORY_NS, id);
    }
    assert_true(fixture_count(f, TABLE_TRAILS) > 50);
    story_drop_events(f, (int)fixture_count(f, TABLE_JOURNAL) - 1);
    for (int i = 0; i < 120; i++) {
        char id[32];
        snprintf(id, sizeof id, "new%d", i);
        fixture_container(f, STORY_NS, id);
    }
    size_t kept = 1, sweep = 1;
    assert_int_equal(fixture_count(f, TABLE_TRAILS), 120 + kept + sweep);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_the_events_of_one_container_among_others),
        TEST(pages_the_trail),
        TEST(outlives_the_container),
        TEST(the_trail_leads_through_runs_and_updates),
        TEST(a_run_of_an_older_store_goes_on),
        TEST(tells_where_the_journal_no_longer_reaches_back),
        TEST(behind_an_event_of_another_the_next_is_looked_for),
        TEST(numbers_of_events_that_are_gone_go_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
