/* How many outcomes of requests and exit records are kept. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/keep_bounds.h"
#include "workers/metadata/requests.h"

#include <string.h>

#define NS "default"

typedef struct piece {
    keep_bounds_t bounds;
    retention_t retention;
    size_t budget;
    bool has_more;
} piece_t;

static void run_trim(void *arg, txn_t *txn)
{
    piece_t *self = arg;
    self->has_more = keep_bounds_trim(&self->bounds, txn, &self->retention, self->budget);
}

static void must_commit(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static bool is_due(fixture_t *f, const retention_t *retention)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    assert_non_null(txn);
    return keep_bounds_is_due(txn, retention);
}

/* Pieces until there is no more to do at once. */
static size_t trim(fixture_t *f, int max_requests, int max_exits, size_t budget)
{
    piece_t piece = {.retention = {.max_requests = max_requests, .max_exits = max_exits},
                     .budget = budget};
    size_t count = 0;
    piece.has_more = is_due(f, &piece.retention);
    for (; piece.has_more && count < 1000; count++) {
        batch_add(f->batch, run_trim, must_commit, &piece);
        batch_commit(f->batch);
    }
    assert_true(count < 1000);
    return count;
}

/* Every other one is about a container. */
static msg_uuid_t record(fixture_t *f, int number)
{
    status_t st;
    msg_empty_t nothing;
    msg_request_record_t ask = {.method = "task.start",
                                .ns = NS,
                                .target = number % 2 ? "a" : NULL,
                                .answer = {.data = (const uint8_t *)"\x80", .size = 1}};
    msg_uuid_new(&ask.id);
    f->now += 1000;
    assert_int_equal(fixture_write(f, requests_record, NULL, &ask, &nothing, sizeof nothing, &st),
                     STATUS_OK);
    return ask.id;
}

static bool is_known(fixture_t *f, const msg_uuid_t *id)
{
    status_t st;
    msg_outcome_t answer;
    const msg_request_get_t ask = {.id = *id};
    return !fixture_read(f, requests_get, NULL, &ask, &answer, sizeof answer, &st);
}

static void an_exit(fixture_t *f, const char *id, const char *incarnation, bool has_ended)
{
    status_t st;
    msg_restart_due_t due;
    fixture_container(f, NS, id);
    assert_int_equal(fixture_begin(f, NS, id, incarnation, &st), STATUS_OK);
    f->now += 1000;
    const msg_incarnation_exit_t ask = {
        .id = id, .incarnation = incarnation, .pid = 7, .exited_at = f->now, .source = "wait"};
    assert_int_equal(fixture_write(f, incarnations_exit, NS, &ask, &due, sizeof due, &st), 0);
    const msg_incarnation_end_t end = {.id = id, .incarnation = incarnation, .shim_lost = true};
    if (has_ended)
        assert_int_equal(fixture_write(f, incarnations_end, NS, &end, &due, sizeof due, &st), 0);
}

static bool has_exit(fixture_t *f, const char *id)
{
    status_t st;
    msg_exited_t answer;
    const msg_exit_get_t ask = {.id = id};
    return !fixture_read(f, incarnations_exit_get, NS, &ask, &answer, sizeof answer, &st);
}

static void the_oldest_outcomes_go_with_what_lists_them(void **state)
{
    enum { ALL = 20, KEPT = 6 };
    fixture_t *f = *state;
    msg_uuid_t ids[ALL];
    f->now = util_now_ns();
    an_exit(f, "done", "11111111-2222-4333-8444-555555555551", true);
    for (int i = 0; i < ALL; i++)
        ids[i] = record(f, i);
    assert_int_equal(trim(f, ALL, 1, 4), 0);
    assert_true(trim(f, KEPT, 1, 4) >= (ALL - KEPT) / 4);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(is_known(f, &ids[i]), i >= ALL - KEPT);
    assert_int_equal(fixture_count(f, TABLE_REQUESTS), KEPT);
    assert_int_equal(fixture_count(f, TABLE_TARGETS), KEPT / 2);
    assert_int_equal(fixture_count(f, TABLE_EXPIRY), KEPT + 1);
    assert_true(has_exit(f, "done"));
    record(f, ALL);
    assert_int_equal(trim(f, KEPT, 1, 4) > 0, true);
    assert_int_equal(fixture_count(f, TABLE_REQUESTS), KEPT);
}

static void the_oldest_exits_go_but_those_of_tasks_that_go_on(void **state)
{
    enum { ALL = 5 };
    fixture_t *f = *state;
    f->now = util_now_ns();
    for (int i = 0; i < ALL; i++) {
        char id[8], incarnation[UTIL_UUID_SIZE];
        snprintf(id, sizeof id, "c%d", i);
        snprintf(incarnation, sizeof incarnation, "11111111-2222-4333-8444-55555555555%d", i);
        an_exit(f, id, incarnation, i != 0);
    }
    msg_uuid_t request = record(f, 1);
    trim(f, 1, 3, 1);
    assert_int_equal(fixture_count(f, TABLE_EXITS), 3);
    assert_int_equal(fixture_count(f, TABLE_ENDS), 3);
    assert_true(has_exit(f, "c0"));
    assert_false(has_exit(f, "c2"));
    assert_true(has_exit(f, "c3"));
    trim(f, 1, 0, 1);
    assert_true(has_exit(f, "c0"));
    assert_int_equal(fixture_count(f, TABLE_EXITS), 1);
    assert_int_equal(fixture_count(f, TABLE_PROCESSES), 1);
    assert_true(is_known(f, &request));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_oldest_outcomes_go_with_what_lists_them),
        TEST(the_oldest_exits_go_but_those_of_tasks_that_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
