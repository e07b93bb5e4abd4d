/* What the journal keeps about one container: its events' trail, its requests, its exits. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/mender.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/trail.h"

#include <stddef.h>
#include <string.h>

#define NS    "default"
#define RUN_1 "11111111-2222-4333-8444-555555555551"
#define RUN_2 "11111111-2222-4333-8444-555555555552"
#define DAY   ((int64_t)24 * 3600 * 1000000000)

static msg_event_trail_t about(fixture_t *f, const char *id, uint64_t from, uint32_t limit)
{
    status_t st;
    msg_event_trail_t answer;
    const msg_event_about_t ask = {.id = id, .from = from, .limit = limit};
    assert_int_equal(fixture_read(f, trail_about, NS, &ask, &answer, sizeof answer, &st), 0);
    return answer;
}

static msgpack_object unpack(fixture_t *f, const msg_bytes_t *bytes)
{
    msgpack_object object;
    size_t at = 0;
    assert_int_equal(msgpack_unpack((const char *)bytes->data, bytes->size, &at, f->zone, &object),
                     MSGPACK_UNPACK_SUCCESS);
    return object;
}

static void assert_topics(fixture_t *f, const msg_event_trail_t *trail, const char *const *topics,
                          size_t count)
{
    msgpack_object events = unpack(f, &trail->events);
    assert_int_equal(events.via.array.size, count);
    for (size_t i = 0; i < count; i++)
        assert_true(fixture_is(&events.via.array.ptr[i], "topic", topics[i]));
}

static void begin(fixture_t *f, const char *id, const char *incarnation)
{
    status_t st;
    assert_int_equal(fixture_begin(f, NS, id, incarnation, &st), 0);
}

static void end(fixture_t *f, const char *id, const char *incarnation)
{
    status_t st;
    msg_restart_due_t due;
    const msg_incarnation_end_t ask = {.id = id, .incarnation = incarnation, .shim_lost = true};
    assert_int_equal(fixture_write(f, incarnations_end, NS, &ask, &due, sizeof due, &st), 0);
}

static void leave(fixture_t *f, const char *id, const char *incarnation, const char *exec_id,
                  uint32_t status, int64_t at)
{
    status_t st;
    msg_restart_due_t due;
    const msg_incarnation_exit_t ask = {.id = id,
                                        .incarnation = incarnation,
                                        .exec_id = exec_id,
                                        .pid = exec_id ? 8 : 7,
                                        .exit_status = status,
                                        .exited_at = at,
                                        .source = "wait"};
    assert_int_equal(fixture_write(f, incarnations_exit, NS, &ask, &due, sizeof due, &st), 0);
}

/* The trail -------------------------------------------------------------------------------------
 */

static void finds_the_events_of_one_container_among_others(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    fixture_container(f, NS, "a");
    fixture_container(f, NS, "b");
    begin(f, "a", RUN_1);
    begin(f, "b", RUN_2);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, NS, "/tasks/create", "b", NULL, 9, now);
    fixture_shim_event(f, NS, "/tasks/start", "a", NULL, 7, now + 1);
    fixture_shim_event(f, "elsewhere", "/tasks/start", "a", NULL, 7, now + 1);
    static const char *const all[] = {"/tasks/start", "/tasks/create", "/containers/create"};
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, 3);
    assert_int_equal(trail.next, 0);
    assert_false(trail.gap);
    trail = about(f, "nobody", 0, 0);
    assert_topics(f, &trail, NULL, 0);
    assert_false(trail.gap);
}

static void pages_the_trail(void **state)
{
    fixture_t *f = *state;
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, util_now_ns());
    static const char *const first[] = {"/tasks/create"}, *const second[] = {"/containers/create"};
    msg_event_trail_t page = about(f, "a", 0, 1);
    assert_topics(f, &page, first, 1);
    assert_int_not_equal(page.next, 0);
    page = about(f, "a", page.next, 1);
    assert_topics(f, &page, second, 1);
    assert_int_equal(page.next, 0);
}

static void outlives_the_container(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_empty_t nothing;
    fixture_container(f, NS, "a");
    const msg_container_delete_t ask = {.id = "a"};
    assert_int_equal(fixture_write(f, containers_delete, NS, &ask, &nothing, sizeof nothing, &st),
                     0);
    static const char *const all[] = {"/containers/delete", "/containers/create"};
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, 2);
}

static void must_commit(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static void update(fixture_t *f, const char *id)
{
    status_t st;
    msg_container_t answer;
    const msg_container_update_t ask = {.id = id};
    assert_int_equal(fixture_write(f, containers_update, NS, &ask, &answer, sizeof answer, &st), 0);
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
    fixture_container(f, NS, "a");
    update(f, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, now);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    fixture_shim_event(f, NS, "/tasks/start", "a", NULL, 7, now + 1);
    update(f, "a");
    leave(f, "a", RUN_1, NULL, 0, now + 2);
    end(f, "a", RUN_1);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    update(f, "a");
    begin(f, "a", RUN_2);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 8, now + 3);
    update(f, "a");
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, ARRAY_SIZE(all));
    assert_false(trail.gap);
}

/* As version 2 had it: without the number. */
static void make_older(void *arg, txn_t *txn)
{
    store_key_t key = STORE_KEY(NS, "a", RUN_1, "");
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
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, now);
    batch_add(f->batch, make_older, must_commit, NULL);
    batch_commit(f->batch);
    fixture_shim_event(f, NS, "/tasks/start", "a", NULL, 7, now + 1);
    fixture_shim_exit(f, NS, "a", NULL, 7, 3, now + 2);
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, ARRAY_SIZE(all)); /* it is linked past what it had no number of */
}

static void lose(void *arg, txn_t *txn)
{
    const store_lost_t *lost = arg;
    assert_true(txn_delete(txn, lost->table, lost->key.bytes, lost->key.size));
}

/* As one that a read has found damaged. */
static void lose_record(fixture_t *f, table_t table, const store_key_t *key)
{
    store_lost_t lost = {.table = table, .key = *key};
    batch_add(f->batch, lose, must_commit, &lost);
    batch_commit(f->batch);
    store_note_lost(f->store, table, key->bytes, key->size);
}

/* It is told before it is mended, and when it is, and does not end there. */
static void a_lost_end_of_the_trail_is_found_again(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/containers/update", "/containers/update",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(NS, "a");
    fixture_container(f, NS, "a");
    fixture_container(f, NS, "b");
    update(f, "a");
    fixture_container(f, NS, "c");
    lose_record(f, TABLE_TRAILS, &key);
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, &all[1], 2);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, &all[1], 2);
    lose_record(f, TABLE_TRAILS, &key);
    update(f, "a");
    trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, 3);
    mender_destroy(&mender);
}

static void a_run_whose_record_is_lost_goes_on_in_the_trail(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    static const char *const all[] = {"/tasks/exit", "/tasks/start", "/tasks/create",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(NS, "a", RUN_1, "");
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, NS, "/tasks/start", "a", NULL, 7, now + 1);
    lose_record(f, TABLE_PROCESSES, &key);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    fixture_shim_exit(f, NS, "a", NULL, 7, 3, now + 2);
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, ARRAY_SIZE(all));
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
    const char *const ids[] = {"a", "b"}, *const runs[] = {RUN_1, RUN_2};
    const char *const topics[] = {"/tasks/create", "/tasks/start"};
    for (uint32_t i = 0; i < 2; i++)
        fixture_container(f, NS, ids[i]);
    for (uint32_t i = 0; i < 2; i++)
        begin(f, ids[i], runs[i]);
    for (uint32_t i = 0; i < 4; i++)
        fixture_shim_event(f, NS, topics[i / 2], ids[i % 2], NULL, i % 2 + 7, now + i);
    uint64_t newest = store_journal_last(f->store) - 1, lost = newest - 2;
    batch_add(f->batch, lose_event, must_commit, &lost);
    batch_commit(f->batch);
    static const char *const all[] = {"/tasks/start", MEND_TOPIC_EVENT, "/containers/create"};
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, all, 3);
    assert_false(trail.gap);
    trail = about(f, "a", 0, 2);
    assert_topics(f, &trail, all, 2);
    trail = about(f, "a", trail.next, 2);
    assert_topics(f, &trail, &all[2], 1);
    batch_add(f->batch, lose_event, must_commit, &newest);
    batch_commit(f->batch);
    static const char *const rest[] = {MEND_TOPIC_EVENT, "/containers/create"};
    trail = about(f, "a", 0, 0); /* how they were linked is lost with both */
    assert_topics(f, &trail, rest, 2);
    uint64_t first = 2; /* the namespace's own comes before */
    batch_add(f->batch, lose_event, must_commit, &first);
    batch_commit(f->batch);
    trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, rest, 1);
    assert_true(trail.gap);
}

static void drop_first_event(void *arg, txn_t *txn)
{
    (void)arg;
    uint64_t first = journal_first(txn, TABLE_JOURNAL);
    txn_delete(txn, TABLE_JOURNAL, &first, sizeof first);
}

static void drop_events(fixture_t *f, int count)
{
    for (int i = 0; i < count; i++)
        batch_add(f->batch, drop_first_event, must_commit, NULL);
    batch_commit(f->batch);
}

static void tells_where_the_journal_no_longer_reaches_back(void **state)
{
    fixture_t *f = *state;
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, util_now_ns());
    /* The namespace's own event and the container's. */
    drop_events(f, (int)fixture_count(f, TABLE_JOURNAL) - 1);
    static const char *const left[] = {"/tasks/create"};
    msg_event_trail_t trail = about(f, "a", 0, 0);
    assert_topics(f, &trail, left, 1);
    assert_true(trail.gap);
    assert_int_equal(trail.next, 0);
}

/* As is where a link leads that was made again after damage. */
static void behind_an_event_of_another_the_next_is_looked_for(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/containers/create"};
    fixture_container(f, NS, "a");
    fixture_container(f, NS, "b");
    msgpack_object events = fixture_journal(f);
    const msgpack_object *last = &events.via.array.ptr[events.via.array.size - 1];
    uint64_t of_b = fixture_field(last, "seq")->via.u64;
    msg_event_trail_t trail = about(f, "a", of_b, 0);
    assert_topics(f, &trail, all, 1);
    assert_false(trail.gap);
    trail = about(f, "nobody", of_b, 0);
    assert_topics(f, &trail, NULL, 0);
    assert_true(trail.gap);
    assert_int_equal(trail.next, 0);
}

static void publish_many(void *arg, txn_t *txn)
{
    const size_t *count = arg;
    for (size_t i = 0; i < *count; i++)
        journal_append(txn, &(journal_event_t){.ns = NS,
                                               .topic = "/x/y",
                                               .type = "",
                                               .origin = JOURNAL_ORIGIN_CLIENT,
                                               .incarnation = "",
                                               .event = {(const uint8_t *)"\x80", 1}});
}

/* Pages until the last, which is returned; `ret_pages` counts them. */
static msg_event_trail_t first_with_events(fixture_t *f, const char *id, size_t *ret_pages)
{
    msg_event_trail_t page = about(f, id, 0, 0);
    for (*ret_pages = 1; page.next && page.events.size <= 1; ++*ret_pages)
        page = about(f, id, page.next, 0);
    return page;
}

static void look_behind_many(fixture_t *f, table_t table, const store_key_t *key,
                             const char *const *topics, size_t count)
{
    size_t many = TRAIL_SEARCH_MAX * 5 / 2, pages;
    batch_add(f->batch, publish_many, must_commit, &many);
    batch_commit(f->batch);
    lose_record(f, table, key);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    msg_event_trail_t trail = first_with_events(f, "a", &pages);
    assert_in_range(pages, 2, 4);
    assert_topics(f, &trail, topics, count);
    assert_false(trail.gap);
    mender_destroy(&mender);
}

/* However many events of others are behind it; one request looks at some of them. */
static void a_lost_end_far_back_is_found_page_by_page(void **state)
{
    fixture_t *f = *state;
    static const char *const all[] = {"/containers/update", "/containers/update",
                                      "/containers/create"};
    store_key_t key = STORE_KEY(NS, "a");
    size_t pages;
    fixture_container(f, NS, "a");
    update(f, "a");
    look_behind_many(f, TABLE_TRAILS, &key, &all[1], 2);
    update(f, "a"); /* is linked to what is to be found */
    msg_event_trail_t trail = about(f, "a", 0, 1);
    assert_topics(f, &trail, all, 1);
    assert_int_not_equal(trail.next, 0);
    for (pages = 1; trail.next && pages < 9; pages++) {
        trail = about(f, "a", trail.next, 1);
        assert_false(trail.gap);
    }
    assert_in_range(pages, 4, 6); /* two that are empty, or nearly so, and one for each event */
    assert_topics(f, &trail, &all[2], 1);
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
    store_key_t key = STORE_KEY(NS, "a", RUN_1, "");
    size_t pieces = 3, many = pieces * MENDER_PIECE, one = 1, turns = 0;
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, NS, "/tasks/start", "a", NULL, 7, now + 1);
    batch_add(f->batch, publish_many, must_commit, &many);
    batch_commit(f->batch);
    lose_record(f, TABLE_PROCESSES, &key);
    for (; !process_of(f, &key).version && turns < 100; turns++) {
        io_set_turn(f->io);
        batch_add(f->batch, publish_many, must_commit, &one);
        batch_commit(f->batch);
    }
    assert_in_range(turns, pieces + 1, 99);
    assert_int_equal(mender_count(mender), 1);
    fixture_shim_exit(f, NS, "a", NULL, 7, 3, now + 2);
    msg_event_trail_t trail = about(f, "a", 0, 0);
    for (size_t pages = 0; trail.events.size <= 1 && pages < 9; pages++)
        trail = about(f, "a", trail.next, 0);
    assert_topics(f, &trail, all, 1); /* its link is to be looked behind */
    for (size_t pages = 0; trail.next && pages < 9; pages++)
        trail = about(f, "a", trail.next, 0);
    assert_topics(f, &trail, &all[1], 3);
    mender_destroy(&mender);
}

static void a_run_that_ends_meanwhile_is_not_made_again(void **state)
{
    fixture_t *f = *state;
    store_key_t key = STORE_KEY(NS, "a", RUN_1, "");
    size_t many = 2 * MENDER_PIECE, count;
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    batch_add(f->batch, publish_many, must_commit, &many);
    batch_commit(f->batch);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    lose_record(f, TABLE_PROCESSES, &key);
    while (!mender_count(mender)) {
        io_set_turn(f->io);
        batch_commit(f->batch);
    }
    end(f, "a", RUN_1);
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
    store_key_t key = STORE_KEY(NS, "a", RUN_1, "");
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, util_now_ns());
    look_behind_many(f, TABLE_PROCESSES, &key, all, 2);
}

static void numbers_of_events_that_are_gone_go_too(void **state)
{
    fixture_t *f = *state;
    for (int i = 0; i < 50; i++) {
        char id[32];
        snprintf(id, sizeof id, "old%d", i);
        fixture_container(f, NS, id);
    }
    assert_true(fixture_count(f, TABLE_TRAILS) > 50);
    drop_events(f, (int)fixture_count(f, TABLE_JOURNAL) - 1);
    for (int i = 0; i < 120; i++) {
        char id[32];
        snprintf(id, sizeof id, "new%d", i);
        fixture_container(f, NS, id);
    }
    size_t kept = 1, sweep = 1;
    assert_int_equal(fixture_count(f, TABLE_TRAILS), 120 + kept + sweep);
}

/* Requests --------------------------------------------------------------------------------------
 */

static void record(fixture_t *f, const char *method, const char *id, const char *key,
                   const char *value)
{
    status_t st;
    msg_empty_t nothing;
    msg_label_t label = {.key = key, .value = value};
    const msg_peer_t peer = {.pid = 4, .uid = 1000, .gid = 1000, .comm = "shimctl"};
    msg_request_record_t ask = {.method = method,
                                .ns = NS,
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
    assert_int_equal(fixture_read(f, requests_list, NS, &ask, &answer, sizeof answer, &st), 0);
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
    assert_int_equal(fixture_read(f, requests_list, NS, &ask, &page, sizeof page, &st),
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

/* Exits -----------------------------------------------------------------------------------------
 */

static msg_exit_records_t exits(fixture_t *f, const msg_exit_list_t *ask)
{
    status_t st;
    msg_exit_records_t answer;
    assert_int_equal(
        fixture_read(f, exit_records_list, ask->all ? NULL : NS, ask, &answer, sizeof answer, &st),
        0);
    return answer;
}

static void lists_exits_newest_first_after_their_tasks_are_gone(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    leave(f, "a", RUN_1, "e", 3, now - 20);
    leave(f, "a", RUN_1, NULL, 137, now - 10);
    end(f, "a", RUN_1);
    begin(f, "a", RUN_2);
    leave(f, "a", RUN_2, NULL, 0, now - 5);
    msg_exit_records_t found = exits(f, &(msg_exit_list_t){.all = true});
    assert_int_equal(found.exits.count, 3);
    const msg_exit_record_t *rows = found.exits.items;
    assert_string_equal(rows[0].incarnation, RUN_2);
    assert_string_equal(rows[1].incarnation, RUN_1);
    assert_int_equal(rows[1].exit_status, 137);
    assert_string_equal(rows[1].source, "wait");
    assert_string_equal(rows[2].exec_id, "e");
    assert_string_equal(rows[2].id, "a");
    assert_string_equal(rows[2].ns, NS);
}

static void filters_and_pages_exits(void **state)
{
    fixture_t *f = *state;
    int64_t now = util_now_ns();
    const char *filter = "exit_status!=0";
    fixture_container(f, NS, "a");
    fixture_container(f, NS, "ab");
    begin(f, "a", RUN_1);
    begin(f, "ab", RUN_2);
    leave(f, "a", RUN_1, NULL, 0, now - 10);
    leave(f, "ab", RUN_2, NULL, 1, now - 20);
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
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    const msg_incarnation_exit_t unknown = {.id = "a",
                                            .incarnation = RUN_1,
                                            .pid = 7,
                                            .exited_at = now - 30,
                                            .unknown = true,
                                            .why = "its shim was lost"};
    assert_int_equal(fixture_write(f, incarnations_exit, NS, &unknown, &due, sizeof due, &st), 0);
    leave(f, "a", RUN_1, NULL, 3, now - 10);
    msg_exit_records_t found = exits(f, &(msg_exit_list_t){.id = "a"});
    assert_int_equal(found.exits.count, 1);
    assert_int_equal(found.exits.items[0].exit_status, 3);
    assert_int_equal(fixture_count(f, TABLE_ENDS), 1);
}

static void exits_are_forgotten_with_their_index(void **state)
{
    fixture_t *f = *state;
    f->now = util_now_ns();
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    leave(f, "a", RUN_1, "e", 3, f->now - 20);
    leave(f, "a", RUN_1, NULL, 0, f->now - 10);
    end(f, "a", RUN_1);
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
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    leave(f, "a", RUN_1, "e", 3, now - 20);
    leave(f, "a", RUN_1, "g", 4, now - 10);
    batch_add(f->batch, drop_first_of, must_commit, &exits_table);
    batch_commit(f->batch);
    for (int i = 0; i < 2; i++) {
        msg_exit_records_t found = exits(f, &(msg_exit_list_t){.id = "a"});
        assert_int_equal(found.exits.count, 1);
        assert_int_equal(found.exits.items[0].exit_status, 4);
        batch_add(f->batch, drop_first_of, must_commit, &ends_table);
        batch_add(f->batch, make_derived, must_commit, NULL);
        batch_commit(f->batch);
    }
}

/* Kills for want of memory ------------------------------------------------------------------------
 */

#define SECOND ((int64_t)1000000000)

static void record_kill(fixture_t *f, const char *exec_id, uint32_t oom_kills)
{
    status_t st;
    msg_restart_due_t due;
    const msg_incarnation_exit_t ask = {.id = "a",
                                        .incarnation = RUN_1,
                                        .exec_id = exec_id,
                                        .pid = exec_id ? 8 : 7,
                                        .exit_status = 137,
                                        .exited_at = util_now_ns(),
                                        .source = "wait",
                                        .oom_kills = oom_kills};
    assert_int_equal(fixture_write(f, incarnations_exit, NS, &ask, &due, sizeof due, &st), 0);
}

/* A running task, whose shim has nothing told yet of the end. */
static int64_t run_task(fixture_t *f)
{
    int64_t now = util_now_ns();
    fixture_container(f, NS, "a");
    begin(f, "a", RUN_1);
    fixture_shim_event(f, NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, NS, "/tasks/start", "a", NULL, 7, now + 1);
    return now + 2;
}

static void assert_ends_with(fixture_t *f, const char *before, const char *last)
{
    msg_event_trail_t trail = about(f, "a", 0, 2);
    const char *const topics[] = {last, before};
    assert_topics(f, &trail, topics, 2);
}

static void a_kill_is_told_once_its_record_says_no_memory_was_short(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, NS, "a", NULL, 7, 137, now);
    assert_ends_with(f, "/tasks/create", "/tasks/start");
    record_kill(f, NULL, 0);
    assert_ends_with(f, "/tasks/start", "/tasks/exit");
}

static void an_oom_that_the_shim_dropped_is_told_before_the_exit(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, NS, "a", NULL, 7, 137, now);
    record_kill(f, NULL, 1);
    assert_ends_with(f, "/tasks/create", "/tasks/start"); /* the shim's own may come yet */
    fixture_release(f, util_now_ns() + 10 * SECOND);
    assert_ends_with(f, "/tasks/oom", "/tasks/exit");
    msg_event_trail_t trail = about(f, "a", 0, 0);
    msgpack_object events = unpack(f, &trail.events);
    assert_true(fixture_is(&events.via.array.ptr[1], "origin", "shimd"));
    assert_true(fixture_is(&events.via.array.ptr[1], "evidence", "cgroup"));
    assert_true(fixture_is(&events.via.array.ptr[0], "origin", "shim"));
}

static void an_oom_behind_the_exit_is_told_before_it(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, NS, "a", NULL, 7, 137, now + 4);
    record_kill(f, NULL, 1);
    fixture_shim_event(f, NS, "/tasks/oom", "a", NULL, 0, now + 5);
    assert_ends_with(f, "/tasks/oom", "/tasks/exit");
    assert_int_equal(fixture_count(f, TABLE_ASIDE), 0);
    assert_int_equal(fixture_count(f, TABLE_HELD), 0);
}

static void an_execs_kill_waits_for_its_record_too(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_event(f, NS, "/tasks/exec-added", "a", "e", 0, now);
    fixture_shim_event(f, NS, "/tasks/exec-started", "a", "e", 8, now + 1);
    fixture_shim_exit(f, NS, "a", "e", 8, 137, now + 2);
    assert_ends_with(f, "/tasks/exec-added", "/tasks/exec-started");
    record_kill(f, "e", 0);
    assert_ends_with(f, "/tasks/exec-started", "/tasks/exit");
}

static void a_kill_without_a_record_waits_for_a_while_only(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, NS, "a", NULL, 7, 137, now);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    assert_ends_with(f, "/tasks/create", "/tasks/start");
    fixture_release(f, util_now_ns() + 10 * SECOND);
    assert_ends_with(f, "/tasks/start", "/tasks/exit");
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
        TEST(a_lost_end_of_the_trail_is_found_again),
        TEST(a_run_whose_record_is_lost_goes_on_in_the_trail),
        TEST(goes_on_behind_a_lost_event),
        TEST(tells_where_the_journal_no_longer_reaches_back),
        TEST(behind_an_event_of_another_the_next_is_looked_for),
        TEST(a_lost_end_far_back_is_found_page_by_page),
        TEST(a_lost_run_far_back_goes_on_in_the_trail),
        TEST(the_journal_is_read_for_lost_runs_piece_by_piece),
        TEST(a_run_that_ends_meanwhile_is_not_made_again),
        TEST(numbers_of_events_that_are_gone_go_too),
        TEST(lists_requests_in_order_with_what_they_asked),
        TEST(pages_requests),
        TEST(requests_are_forgotten_with_their_outcomes),
        TEST(lists_exits_newest_first_after_their_tasks_are_gone),
        TEST(filters_and_pages_exits),
        TEST(an_exit_has_one_place_in_time),
        TEST(exits_are_forgotten_with_their_index),
        TEST(a_lost_exit_is_not_listed),
        TEST(a_kill_is_told_once_its_record_says_no_memory_was_short),
        TEST(an_oom_that_the_shim_dropped_is_told_before_the_exit),
        TEST(an_oom_behind_the_exit_is_told_before_it),
        TEST(an_execs_kill_waits_for_its_record_too),
        TEST(a_kill_without_a_record_waits_for_a_while_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
