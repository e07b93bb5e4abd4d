/* Restart policies: which ends are followed by another run, and when. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/restarts.h"

#include <stdio.h>
#include <string.h>

#define NS      "default"
#define ID      "c"
#define SECOND  ((int64_t)1000000000)
#define START   ((int64_t)1700000000 * SECOND)
#define UNKNOWN UINT32_MAX /* as an exit status: nobody knows it */

static const char *run_name(unsigned number)
{
    static char names[64][UTIL_UUID_SIZE];
    assert_true(number < 64);
    snprintf(names[number], UTIL_UUID_SIZE, "11111111-2222-4333-8444-%012u", number);
    return names[number];
}

static void container(fixture_t *f, const char *policy)
{
    status_t st;
    msg_container_t answer;
    const msg_container_create_t ask = {.id = ID,
                                        .runtime = "io.containerd.runc.v2",
                                        .spec = {.data = (const uint8_t *)"{}", .size = 2},
                                        .restart = policy};
    assert_int_equal(fixture_write(f, containers_create, NS, &ask, &answer, sizeof answer, &st),
                     STATUS_OK);
    f->now = START;
}

/* A run that a client asked for, or the restart that follows the one before. */
static status_code_t begin(fixture_t *f, unsigned run, bool is_restart)
{
    status_t st;
    msg_container_t answer;
    const msg_incarnation_begin_t ask = {.id = ID,
                                         .incarnation = run_name(run),
                                         .restart_of = is_restart ? run_name(run - 1) : NULL};
    return fixture_write(f, incarnations_begin, NS, &ask, &answer, sizeof answer, &st);
}

/* What is due then; without `restart` nothing is. */
static msg_restart_due_t leave(fixture_t *f, unsigned run, uint32_t status, const char *stopped)
{
    status_t st;
    msg_restart_due_t due, ignored;
    const msg_incarnation_exit_t exit = {.id = ID,
                                         .incarnation = run_name(run),
                                         .pid = 7,
                                         .exit_status = status == UNKNOWN ? 0 : status,
                                         .unknown = status == UNKNOWN,
                                         .exited_at = f->now,
                                         .stopped = stopped,
                                         .source = "wait"};
    const msg_incarnation_end_t end = {
        .id = ID, .incarnation = run_name(run), .stopped = stopped, .shim_lost = true};
    assert_int_equal(fixture_write(f, incarnations_exit, NS, &exit, &due, sizeof due, &st), 0);
    assert_int_equal(fixture_write(f, incarnations_end, NS, &end, &ignored, sizeof ignored, &st),
                     0);
    return due;
}

static msg_restart_due_t note(fixture_t *f, unsigned run, uint32_t attempt, const char *failed)
{
    status_t st;
    msg_restart_due_t due;
    const msg_restart_note_t ask = {
        .id = ID, .pending = run_name(run), .attempt = attempt, .failed = failed};
    assert_int_equal(fixture_write(f, restarts_note, NS, &ask, &due, sizeof due, &st), 0);
    return due;
}

static size_t list(fixture_t *f, const char *life)
{
    status_t st;
    msg_restarts_t answer;
    const msg_restart_list_t ask = {.life = life};
    assert_int_equal(fixture_write(f, restarts_list, NULL, &ask, &answer, sizeof answer, &st), 0);
    return answer.restarts.count;
}

/* A whole run of so many seconds that fails; how long its restart waits, in ns. */
static int64_t delay_after(fixture_t *f, unsigned run, int64_t seconds)
{
    assert_int_equal(begin(f, run, run > 0), STATUS_OK);
    if (run > 0)
        assert_null(note(f, run - 1, 0, NULL).restart);
    f->now += seconds * SECOND;
    msg_restart_due_t due = leave(f, run, 1, NULL);
    assert_non_null(due.restart);
    assert_string_equal(due.restart->pending, run_name(run));
    assert_int_equal(due.restart->count, run);
    int64_t delay = due.restart->due_at - f->now;
    f->now = due.restart->due_at;
    return delay;
}

static void waits_double_up_to_a_minute(void **state)
{
    fixture_t *f = *state;
    int64_t expected = SECOND / 10;
    container(f, "always");
    assert_int_equal(delay_after(f, 0, 1), 0);
    for (unsigned run = 1; run < 10; run++, expected *= 2)
        assert_int_equal(delay_after(f, run, 1), expected);
    assert_int_equal(expected, 512 * SECOND / 10);
    assert_int_equal(delay_after(f, 10, 1), expected);
    for (unsigned run = 11; run < 16; run++)
        assert_int_equal(delay_after(f, run, 1), 60 * SECOND);
}

static void ten_seconds_of_running_begin_anew(void **state)
{
    fixture_t *f = *state;
    container(f, "on-failure");
    assert_int_equal(delay_after(f, 0, 1), 0);
    assert_int_equal(delay_after(f, 1, 1), SECOND / 10);
    assert_int_equal(delay_after(f, 2, 9), SECOND / 5);
    assert_int_equal(delay_after(f, 3, 10), 0);
    assert_int_equal(delay_after(f, 4, 1), SECOND / 10);
}

static void policies_differ_in_what_they_follow(void **state)
{
    static const struct {
        const char *policy;
        bool after_success, after_failure;
    } rows[] = {
        {NULL, false, false},        {"no", false, false},          {"always", true, true},
        {"on-failure", false, true}, {"on-failure:1", false, true}, {"unless-stopped", true, true},
    };
    fixture_t *f = *state;
    status_t st;
    msg_empty_t empty;
    const msg_container_delete_t gone = {.id = ID};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint32_t ends[] = {0, 3, UNKNOWN};
        for (size_t end = 0; end < 3; end++) {
            container(f, rows[i].policy);
            unsigned run = (unsigned)(3 * i + end);
            assert_int_equal(begin(f, run, false), STATUS_OK);
            bool is_due = leave(f, run, ends[end], NULL).restart;
            assert_int_equal(is_due, end == 0 ? rows[i].after_success : rows[i].after_failure);
            assert_int_equal(
                fixture_write(f, containers_delete, NS, &gone, &empty, sizeof empty, &st), 0);
        }
    }
}

static void on_failure_stops_at_its_number(void **state)
{
    fixture_t *f = *state;
    container(f, "on-failure:2");
    delay_after(f, 0, 1);
    delay_after(f, 1, 1);
    assert_int_equal(begin(f, 2, true), STATUS_OK);
    note(f, 1, 0, NULL);
    assert_null(leave(f, 2, 1, NULL).restart);
    /* A client's run counts anew. */
    assert_int_equal(begin(f, 3, false), STATUS_OK);
    assert_non_null(leave(f, 3, 1, NULL).restart);
}

static void restarts_that_fail_wait_and_count(void **state)
{
    fixture_t *f = *state;
    container(f, "on-failure:3");
    assert_int_equal(begin(f, 0, false), STATUS_OK);
    assert_int_equal(leave(f, 0, 1, NULL).restart->due_at, f->now);
    msg_restart_due_t due = note(f, 0, 0, "no such runtime");
    assert_int_equal(due.restart->attempt, 1);
    assert_int_equal(due.restart->due_at, f->now + SECOND / 10);
    assert_string_equal(due.restart->why, "no such runtime");
    /* The same attempt told again, by a successor, is no further one. */
    assert_int_equal(note(f, 0, 0, "no such runtime").restart->attempt, 1);
    assert_int_equal(note(f, 0, 1, "no such runtime").restart->due_at, f->now + SECOND / 5);
    assert_null(note(f, 0, 2, "no such runtime").restart);
}

/* A container that a client has stopped in life 1. */
static void stopped(fixture_t *f, const char *policy)
{
    container(f, policy);
    assert_int_equal(begin(f, 0, false), STATUS_OK);
    assert_null(leave(f, 0, 137, "life 1").restart);
    assert_int_equal(list(f, "life 1"), 0);
}

/* A task.kill was answered; in `life`, it was a stop of that run that was accepted. */
static void killed(fixture_t *f, unsigned number, unsigned run, const char *life)
{
    status_t st;
    msg_empty_t empty;
    const msg_request_record_t ask = {.id = {.bytes = {(uint8_t)number, 1}},
                                      .method = "task.kill",
                                      .ns = NS,
                                      .target = ID,
                                      .stopped = life,
                                      .incarnation = life ? run_name(run) : NULL};
    assert_int_equal(fixture_write(f, requests_record, NULL, &ask, &empty, sizeof empty, &st), 0);
}

/* The run's exit is never seen: the machine went down before it. */
static void a_stop_is_kept_before_the_exit(void **state)
{
    static const struct {
        const char *policy;
        size_t due;
    } rows[] = {{"unless-stopped", 0}, {"on-failure", 0}, {"always", 1}};
    fixture_t *f = *state;
    status_t st;
    msg_empty_t empty;
    const msg_container_delete_t gone = {.id = ID};
    for (unsigned i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        bool is_listed_first = i % 2; /* by the next life, before it finds the run gone */
        container(f, rows[i / 2].policy);
        assert_int_equal(begin(f, i, false), STATUS_OK);
        killed(f, i, i, "life 1");
        if (is_listed_first)
            assert_int_equal(list(f, "life 2"), 0);
        leave(f, i, UNKNOWN, NULL);
        assert_int_equal(list(f, "life 2"), rows[i / 2].due);
        assert_int_equal(fixture_write(f, containers_delete, NS, &gone, &empty, sizeof empty, &st),
                         0);
    }
}

static void a_kill_that_is_no_stop_or_of_an_earlier_run_marks_nothing(void **state)
{
    fixture_t *f = *state;
    container(f, "unless-stopped");
    assert_int_equal(begin(f, 0, false), STATUS_OK);
    killed(f, 1, 0, NULL);
    assert_non_null(leave(f, 0, 1, NULL).restart);
    assert_int_equal(begin(f, 1, true), STATUS_OK);
    note(f, 0, 0, NULL);
    killed(f, 2, 0, "life 1");
    assert_non_null(leave(f, 1, 1, NULL).restart);
}

static void a_stop_wins(void **state)
{
    fixture_t *f = *state;
    stopped(f, "unless-stopped");
    assert_int_equal(list(f, "life 2"), 0);
    /* Until a client runs it again. */
    assert_int_equal(begin(f, 1, false), STATUS_OK);
    assert_non_null(leave(f, 1, 137, NULL).restart);
    assert_int_equal(list(f, "life 2"), 1);
}

static void always_means_also_the_next_life(void **state)
{
    fixture_t *f = *state;
    stopped(f, "always");
    assert_int_equal(list(f, "life 2"), 1);
    assert_int_equal(list(f, "life 2"), 1);
}

static void a_restart_must_be_the_one_that_is_due(void **state)
{
    fixture_t *f = *state;
    container(f, "always");
    assert_int_equal(begin(f, 0, false), STATUS_OK);
    leave(f, 0, 1, NULL);
    assert_int_equal(begin(f, 2, true), STATUS_ABORTED);
    assert_int_equal(begin(f, 1, true), STATUS_OK);
    /* Noted or not: that the run has ended shows that it was made. */
    assert_int_equal(leave(f, 1, 1, NULL).restart->count, 1);
    assert_int_equal(begin(f, 3, true), STATUS_ABORTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waits_double_up_to_a_minute),
        TEST(ten_seconds_of_running_begin_anew),
        TEST(policies_differ_in_what_they_follow),
        TEST(on_failure_stops_at_its_number),
        TEST(restarts_that_fail_wait_and_count),
        TEST(a_stop_wins),
        TEST(a_stop_is_kept_before_the_exit),
        TEST(a_kill_that_is_no_stop_or_of_an_earlier_run_marks_nothing),
        TEST(always_means_also_the_next_life),
        TEST(a_restart_must_be_the_one_that_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
