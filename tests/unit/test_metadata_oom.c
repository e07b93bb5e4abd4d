/* Kills for want of memory: told once, before the exit, and once it is known that they were. */
#include "tests/unit/story_fixture.h"

#include "common/util.h"
#include "workers/metadata/incarnations.h"

#define SECOND ((int64_t)1000000000)

static void record_kill(fixture_t *f, const char *exec_id, uint32_t oom_kills)
{
    status_t st;
    msg_restart_due_t due;
    const msg_incarnation_exit_t ask = {.id = "a",
                                        .incarnation = STORY_RUN_1,
                                        .exec_id = exec_id,
                                        .pid = exec_id ? 8 : 7,
                                        .exit_status = 137,
                                        .exited_at = util_now_ns(),
                                        .source = "wait",
                                        .oom_kills = oom_kills};
    assert_int_equal(fixture_write(f, incarnations_exit, STORY_NS, &ask, &due, sizeof due, &st), 0);
}

/* A running task, whose shim has nothing told yet of the end. */
static int64_t run_task(fixture_t *f)
{
    int64_t now = util_now_ns();
    fixture_container(f, STORY_NS, "a");
    story_begin(f, "a", STORY_RUN_1);
    fixture_shim_event(f, STORY_NS, "/tasks/create", "a", NULL, 7, now);
    fixture_shim_event(f, STORY_NS, "/tasks/start", "a", NULL, 7, now + 1);
    return now + 2;
}

static void assert_ends_with(fixture_t *f, const char *before, const char *last)
{
    msg_event_trail_t trail = story_about(f, "a", 0, 2);
    const char *const topics[] = {last, before};
    story_assert_topics(f, &trail, topics, 2);
}

static void a_kill_is_told_once_its_record_says_no_memory_was_short(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 137, now);
    assert_ends_with(f, "/tasks/create", "/tasks/start");
    record_kill(f, NULL, 0);
    assert_ends_with(f, "/tasks/start", "/tasks/exit");
}

static void an_oom_that_the_shim_dropped_is_told_before_the_exit(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 137, now);
    record_kill(f, NULL, 1);
    assert_ends_with(f, "/tasks/create", "/tasks/start"); /* the shim's own may come yet */
    fixture_release(f, util_now_ns() + 10 * SECOND);
    assert_ends_with(f, "/tasks/oom", "/tasks/exit");
    msg_event_trail_t trail = story_about(f, "a", 0, 0);
    msgpack_object events = story_unpack(f, &trail.events);
    assert_true(fixture_is(&events.via.array.ptr[1], "origin", "shimd"));
    assert_true(fixture_is(&events.via.array.ptr[1], "evidence", "cgroup"));
    assert_true(fixture_is(&events.via.array.ptr[0], "origin", "shim"));
}

static void an_oom_behind_the_exit_is_told_before_it(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 137, now + 4);
    record_kill(f, NULL, 1);
    fixture_shim_event(f, STORY_NS, "/tasks/oom", "a", NULL, 0, now + 5);
    assert_ends_with(f, "/tasks/oom", "/tasks/exit");
    assert_int_equal(fixture_count(f, TABLE_ASIDE), 0);
    assert_int_equal(fixture_count(f, TABLE_HELD), 0);
}

static void an_execs_kill_waits_for_its_record_too(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_event(f, STORY_NS, "/tasks/exec-added", "a", "e", 0, now);
    fixture_shim_event(f, STORY_NS, "/tasks/exec-started", "a", "e", 8, now + 1);
    fixture_shim_exit(f, STORY_NS, "a", "e", 8, 137, now + 2);
    assert_ends_with(f, "/tasks/exec-added", "/tasks/exec-started");
    record_kill(f, "e", 0);
    assert_ends_with(f, "/tasks/exec-started", "/tasks/exit");
}

static void a_kill_without_a_record_waits_for_a_while_only(void **state)
{
    fixture_t *f = *state;
    int64_t now = run_task(f);
    fixture_shim_exit(f, STORY_NS, "a", NULL, 7, 137, now);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    assert_ends_with(f, "/tasks/create", "/tasks/start");
    fixture_release(f, util_now_ns() + 10 * SECOND);
    assert_ends_with(f, "/tasks/start", "/tasks/exit");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kill_is_told_once_its_record_says_no_memory_was_short),
        TEST(an_oom_that_the_shim_dropped_is_told_before_the_exit),
        TEST(an_oom_behind_the_exit_is_told_before_it),
        TEST(an_execs_kill_waits_for_its_record_too),
        TEST(a_kill_without_a_record_waits_for_a_while_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
