/* The trail of a container's events where records or events are lost: what mends it, and what is
 * told. */
#include "tests/unit/story_fixture.h"

#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/mender.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/trail.h"

static void lose(void *arg, txn_t *txn)
{
    const store_lost_t *lost = arg;
    assert_true(txn_delete(txn, lost->table, lost->key.bytes, lost->key.size));
}

/* As one that a read has found damaged. */
static void lose_record(fixture_t *f, table_t table, const store_key_t *key)
{
    store_lost_t lost = {.table = table, .key = *key};
    batch_add(f->batch, lose, story_committed, &lost);
    batch_commit(f->batch);
    store_note_lost(f->store, table, key->bytes, key->size);
}

/* It is told before it is mended, and when it is, and does not end there. */
static void a_lost_end_of_the_trail_is_found_again(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/containers/update", "/containers/update",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(STORY_NS, "a");
    fixture_container(f, STORY_NS, "a");
    fixture_container(f, STORY_NS, "b");
    story_update(f, "a");
    fixture_container(f, STORY_NS, "c");
    lose_record(f, TABLE_TRAILS, &key);
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, &all[1], 2);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, &all[1], 2);
    lose_record(f, TABLE_TRAILS, &key);
    story_update(f, "a");
    trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all, 3);
    mender_destroy(&mender);
}

static void a_run_whose_record_is_lost_goes_on_in_the_trail(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    static const char *const all[] = {"/tasks/exit", "/tasks/start", "/tasks/create",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(STORY_NS, "a", STORY_RUN_1, "");
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, STORY_NS, "/tasks/start", "a", NULL, 7, now + 1);
    lose_record(f, TABLE_PROCESSES, &key);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 3, now + 2);
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all, ARRAY_SIZE(all));
    mender_destroy(&mender);
}

/* As one that was found damaged. */
static void lose_event(void *arg, txn_t *txn)
{
    const uint64_t *seq = arg;
    assert_true(txn_delete(txn, TABLE_JOURNAL, seq, sizeof *seq));
    mend_event(txn, *seq);
}

/* The lost one stands among those of another container. */
static void goes_on_behind_a_lost_event(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    const char *const ids[] = {"a", "b"}, *const runs[] = {STORY_RUN_1, STORY_RUN_2};
    const char *const topics[] = {"/tasks/create", "/tasks/start"};
    for (uint32_t i = 0; i < 2; i++)
        fixture_container(f, STORY_NS, ids[i]);
    for (uint32_t i = 0; i < 2; i++)
        story_begin(f, ids[i], runs[i]);
    for (uint32_t i = 0; i < 4; i++)
        fixture_shim_event(f, STORY_NS, topics[i / 2], ids[i % 2], NULL, i % 2 + 7, now + i);
    uint64_t newest = store_journal_last(f->store) - 1, lost = newest - 2;
    batch_add(f->batch, lose_event, story_committed, &lost);
    batch_commit(f->batch);
    static const char *const all[] = {"/tasks/start", MEND_TOPIC_EVENT, "/containers/create"};
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, all, 3);
    assert_false(trail.gap);
    trail = story_about(f, "a", 0, 2);
    story_assert_topics(f, &trail, all, 2);
    trail = story_about(f, "a", trail.next, 2);
    story_assert_topics(f, &trail, &all[2], 1);
    batch_add(f->batch, lose_event, story_committed, &newest);
    batch_commit(f->batch);
    static const char *const rest[] = {MEND_TOPIC_EVENT, "/containers/create"};
    trail = story_about(f, "a", 0, 0); /* how they were linked is lost with both */
    story_assert_topics(f, &trail, rest, 2);
    uint64_t first = 2; /* the namespace's own comes before */
    batch_add(f->batch, lose_event, story_committed, &first);
    batch_commit(f->batch);
    trail = story_about(f, "a", 0, 0);
    story_assert_topics(f, &trail, rest, 1);
    assert_true(trail.gap);
}

static void publish_many(void *arg, txn_t *txn)
{
    const size_t *count = arg;
    for (size_t i = 0; i < *count; i++)
        journal_append(txn, &(journal_event_t){.ns = STORY_NS,
                                               .topic = "/x/y",
                                               .type = "",
                                               .origin = JOURNAL_ORIGIN_CLIENT,
                                               .incarnation = "",
                                               .event = {(const uint8_t *)"\x80", 1}});
}

/* Pages until the last, which is returned; `ret_pages` counts them. */
static msg_event_trail_t first_with_events(fixture_t *f, const char *id, size_t *ret_pages)
{
    msg_event_trail_t page = story_about(f, id, 0, 0);
    for (*ret_pages = 1; page.next && page.events.size <= 1; ++*ret_pages)
        page = story_about(f, id, page.next, 0);
    return page;
}

static void look_behind_many(fixture_t *f, table_t table, const store_key_t *key,
                             const char *const *topics, size_t count)
{
    size_t many = TRAIL_SEARCH_MAX * 5 / 2, pages;
    batch_add(f->batch, publish_many, story_committed, &many);
    batch_commit(f->batch);
    lose_record(f, table, key);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    msg_event_trail_t trail = first_with_events(f, "a", &pages);
    assert_in_range(pages, 2, 4);
    story_assert_topics(f, &trail, topics, count);
    assert_false(trail.gap);
    mender_destroy(&mender);
}

/* However many events of others are behind it; one request looks at some of them. */
static void a_lost_end_far_back_is_found_page_by_page(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/containers/update", "/containers/update",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(STORY_NS, "a");
    size_t pages;
    fixture_container(f, STORY_NS, "a");
    story_update(f, "a");
    look_behind_many(f, TABLE_TRAILS, &key, &all[1], 2);
    story_update(f, "a"); /* is linked to what is to be found */
    msg_event_trail_t trail = story_about(f, "a", 0, 1);
    story_assert_topics(f, &trail, all, 1);
    assert_int_not_equal(trail.next, 0);
    for (pages = 1; trail.next && pages < 9; pages++) {
        trail = story_about(f, "a", trail.next, 1);
        assert_false(trail.gap);
    }
    assert_in_range(pages, 4, 6); /* two that are empty, or nearly so, and one for each event */
    story_assert_topics(f, &trail, &all[2], 1);
    trail = first_with_events(f, "nobody", &pages);
    assert_int_equal(pages, 1);
}

/* Without a version when there is none. */
static process_record_t process_of(fixture_t *f, const store_key_t *key)
{
    status_t st;
    process_record_t record;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    assert_non_null(txn);
    process_record_get(txn, key, &record);
    return record;
}

/* What is lost while others want answers is made again between these. */
static void the_journal_is_read_for_lost_runs_piece_by_piece(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    static const char *const all[] = {"/tasks/exit", "/tasks/start", "/tasks/create",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(STORY_NS, "a", STORY_RUN_1, "");
    size_t pieces = 3, many = pieces * MENDER_PIECE, one = 1, turns = 0;
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, STORY_NS, "/tasks/start", "a", NULL, 7, now + 1);
    batch_add(f->batch, publish_many, story_committed, &many);
    batch_commit(f->batch);
    lose_record(f, TABLE_PROCESSES, &key);
    for (; !process_of(f, &key).version && turns < 100; turns++) {
        io_set_turn(f->io);
        batch_add(f->batch, publish_many, story_committed, &one);
        batch_commit(f->batch);
    }
    assert_in_range(turns, pieces + 1, 99);
    assert_int_equal(mender_count(mender), 1);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 3, now + 2);
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    for (size_t pages = 0; trail.events.size <= 1 && pages < 9; pages++)
        trail = story_about(f, "a", trail.next, 0);
    story_assert_topics(f, &trail, all, 1); /* its link is to be looked behind */
    for (size_t pages = 0; trail.next && pages < 9; pages++)
        trail = story_about(f, "a", trail.next, 0);
    story_assert_topics(f, &trail, &all[1], 3);
    mender_destroy(&mender);
}

static void a_run_that_ends_meanwhile_is_not_made_again(void **state)
{
    fixture_t *f = *state;
    store_key_t key = STORE_KEY(STORY_NS, "a", STORY_RUN_1, "");
    size_t many = 2 * MENDER_PIECE, count;
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    batch_add(f->batch, publish_many, story_committed, &many);
    batch_commit(f->batch);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    lose_record(f, TABLE_PROCESSES, &key);
    while (!mender_count(mender)) {
        io_set_turn(f->io);
        batch_commit(f->batch);
    }
    story_end(f, "a", STORY_RUN_1);
    store_lost(f->store, &count);
    assert_int_equal(count, 0);
    for (int i = 0; i < 10; i++) {
        io_set_turn(f->io);
        batch_commit(f->batch);
    }
    assert_true(process_of(f, &key).ended);
    mender_destroy(&mender);
}

static void a_lost_run_far_back_goes_on_in_the_trail(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/tasks/create", "/containers/create"};
    store_key_t key = STORE_KEY(STORY_NS, "a", STORY_RUN_1, "");
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, util_now_ns());
    look_behind_many(f, TABLE_PROCESSES, &key, all, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lost_end_of_the_trail_is_found_again),
        TEST(a_run_whose_record_is_lost_goes_on_in_the_trail),
        TEST(goes_on_behind_a_lost_event),
        TEST(a_lost_end_far_back_is_found_page_by_page),
        TEST(a_lost_run_far_back_goes_on_in_the_trail),
        TEST(the_journal_is_read_for_lost_runs_piece_by_piece),
        TEST(a_run_that_ends_meanwhile_is_not_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
