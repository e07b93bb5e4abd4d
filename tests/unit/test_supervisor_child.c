/* The supervisor's table: every state with every event, and the delays between attempts. */
#include "broker/supervisor/child.h"

#include "common/util.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static const child_policy_t policy = {
    .intensity = 3,
    .period = 1000,
    .thrash_delay = 700,
    .first_delay = 50,
    .last_delay = 300,
    .attempts = 6,
    .failed_delay = 9000,
    .settled_after = 4000,
    .start_timeout = 5000,
    .stop_timeout = 6000,
};

/* A world that remembers what was done to it. */
typedef struct world {
    child_t child;
    bool cannot_spawn;
    int64_t now;
    int spawned, signalled, armed, changed; /* -1 for `armed`: not touched */
    child_state_t before;
} world_t;

static bool world_spawn(void *arg)
{
    world_t *self = arg;
    self->spawned++;
    return !self->cannot_spawn;
}

static void world_signal(void *arg, int number)
{
    ((world_t *)arg)->signalled = number;
}

static void world_arm(void *arg, int ms)
{
    ((world_t *)arg)->armed = ms;
}

static int64_t world_now(void *arg)
{
    return ((world_t *)arg)->now;
}

static void world_changed(void *arg, child_state_t before)
{
    world_t *self = arg;
    self->changed++;
    self->before = before;
}

static const child_host_t host = {.spawn = world_spawn,
                                  .signal = world_signal,
                                  .arm = world_arm,
                                  .now = world_now,
                                  .changed = world_changed};

static void world_init(world_t *self)
{
    *self = (world_t){.now = 100000, .armed = -1};
    child_init(&self->child, &host, self, &policy);
}

static void tell(world_t *self, child_event_t event)
{
    self->spawned = self->signalled = self->changed = 0;
    self->armed = -1;
    child_handle(&self->child, event);
}

enum { NO_TIMER = -1, NO_SIGNAL = 0 };

typedef struct cell {
    child_state_t state;
    child_event_t event;
    child_state_t next;
    int spawned, signalled, armed;
    bool again;
} cell_row_t;

/* clang-format off */
static const cell_row_t cells[] = {
    {CHILD_DOWN,     CHILD_START,   CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_DOWN,     CHILD_IS_UP,   CHILD_DOWN,     0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_DOWN,     CHILD_IS_BUSY, CHILD_DOWN,     0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_DOWN,     CHILD_EXITED,  CHILD_DOWN,     0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_DOWN,     CHILD_TIMER,   CHILD_DOWN,     0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_DOWN,     CHILD_STOP,    CHILD_DOWN,     0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_DOWN,     CHILD_RESTART, CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_STARTING, CHILD_START,   CHILD_STARTING, 0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_STARTING, CHILD_IS_UP,   CHILD_READY,    0, NO_SIGNAL, 4000,     false},
    {CHILD_STARTING, CHILD_IS_BUSY, CHILD_STARTING, 0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_STARTING, CHILD_EXITED,  CHILD_BACKOFF,  0, NO_SIGNAL, 50,       false},
    {CHILD_STARTING, CHILD_TIMER,   CHILD_STARTING, 0, SIGKILL,   NO_TIMER, false},
    {CHILD_STARTING, CHILD_STOP,    CHILD_STOPPING, 0, SIGINT,    6000,     false},
    {CHILD_STARTING, CHILD_RESTART, CHILD_STOPPING, 0, SIGTERM,   6000,     true},
    {CHILD_READY,    CHILD_START,   CHILD_READY,    0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_READY,    CHILD_IS_UP,   CHILD_READY,    0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_READY,    CHILD_IS_BUSY, CHILD_READY,    0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_READY,    CHILD_EXITED,  CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_READY,    CHILD_TIMER,   CHILD_READY,    0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_READY,    CHILD_STOP,    CHILD_STOPPING, 0, SIGINT,    6000,     false},
    {CHILD_READY,    CHILD_RESTART, CHILD_STOPPING, 0, SIGTERM,   6000,     true},
    {CHILD_STOPPING, CHILD_START,   CHILD_STOPPING, 0, NO_SIGNAL, NO_TIMER, true},
    {CHILD_STOPPING, CHILD_IS_UP,   CHILD_STOPPING, 0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_STOPPING, CHILD_IS_BUSY, CHILD_STOPPING, 0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_STOPPING, CHILD_EXITED,  CHILD_DOWN,     0, NO_SIGNAL, 0,        false},
    {CHILD_STOPPING, CHILD_TIMER,   CHILD_STOPPING, 0, SIGKILL,   NO_TIMER, false},
    {CHILD_STOPPING, CHILD_STOP,    CHILD_STOPPING, 0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_STOPPING, CHILD_RESTART, CHILD_STOPPING, 0, NO_SIGNAL, NO_TIMER, true},
    {CHILD_BACKOFF,  CHILD_START,   CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_BACKOFF,  CHILD_IS_UP,   CHILD_BACKOFF,  0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_BACKOFF,  CHILD_IS_BUSY, CHILD_BACKOFF,  0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_BACKOFF,  CHILD_EXITED,  CHILD_BACKOFF,  0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_BACKOFF,  CHILD_TIMER,   CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_BACKOFF,  CHILD_STOP,    CHILD_DOWN,     0, NO_SIGNAL, 0,        false},
    {CHILD_BACKOFF,  CHILD_RESTART, CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_FAILED,   CHILD_START,   CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_FAILED,   CHILD_IS_UP,   CHILD_FAILED,   0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_FAILED,   CHILD_IS_BUSY, CHILD_FAILED,   0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_FAILED,   CHILD_EXITED,  CHILD_FAILED,   0, NO_SIGNAL, NO_TIMER, false},
    {CHILD_FAILED,   CHILD_TIMER,   CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
    {CHILD_FAILED,   CHILD_STOP,    CHILD_DOWN,     0, NO_SIGNAL, 0,        false},
    {CHILD_FAILED,   CHILD_RESTART, CHILD_STARTING, 1, NO_SIGNAL, 5000,     false},
};
/* clang-format on */

static void test_every_cell(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_SIZE(cells), CHILD_STATES * CHILD_EVENTS);
    for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
        const cell_row_t *row = &cells[i];
        world_t world;
        world_init(&world);
        world.child.state = row->state;
        tell(&world, row->event);
        if (world.child.state != row->next || world.spawned != row->spawned ||
            world.signalled != row->signalled || world.armed != row->armed ||
            world.child.again != row->again)
            fail_msg("%s x event %d: state %s, spawned %d, signal %d, timer %d, again %d",
                     child_state_name(row->state), (int)row->event,
                     child_state_name(world.child.state), world.spawned, world.signalled,
                     world.armed, world.child.again);
        assert_int_equal(world.changed, row->state != row->next);
        if (world.changed)
            assert_int_equal(world.before, row->state);
    }
}

static void die_early(world_t *world, int delay, child_state_t next)
{
    tell(world, CHILD_EXITED);
    assert_int_equal(world->child.state, next);
    assert_int_equal(world->armed, delay);
    tell(world, CHILD_TIMER);
    assert_int_equal(world->child.state, CHILD_STARTING);
}

static void test_early_deaths_are_followed_ever_later(void **state)
{
    (void)state;
    world_t world;
    world_init(&world);
    tell(&world, CHILD_START);
    static const int delays[] = {50, 100, 200, 300, 300};
    for (size_t i = 0; i < ARRAY_SIZE(delays); i++)
        die_early(&world, delays[i], CHILD_BACKOFF);
    die_early(&world, 9000, CHILD_FAILED);
    die_early(&world, 9000, CHILD_FAILED);

    /* Ready, but not for long enough to be trusted: the tally stands. */
    tell(&world, CHILD_IS_UP);
    tell(&world, CHILD_EXITED);
    assert_int_equal(world.child.state, CHILD_STARTING);
    die_early(&world, 9000, CHILD_FAILED);

    tell(&world, CHILD_IS_UP);
    tell(&world, CHILD_TIMER);
    assert_int_equal(world.child.state, CHILD_READY);
    tell(&world, CHILD_EXITED);
    die_early(&world, 50, CHILD_BACKOFF);
}

static void test_late_deaths_are_followed_at_once_but_not_for_ever(void **state)
{
    (void)state;
    world_t world;
    world_init(&world);
    tell(&world, CHILD_START);
    for (unsigned i = 0; i < policy.intensity; i++) {
        tell(&world, CHILD_IS_UP);
        world.now += 100;
        tell(&world, CHILD_EXITED);
        assert_int_equal(world.child.state, CHILD_STARTING);
    }
    tell(&world, CHILD_IS_UP);
    tell(&world, CHILD_EXITED);
    assert_int_equal(world.child.state, CHILD_BACKOFF);
    assert_int_equal(world.armed, policy.thrash_delay);
    assert_int_equal(world.child.early, 0); /* it was ready: no case for the growing delay */

    tell(&world, CHILD_TIMER);
    tell(&world, CHILD_IS_UP);
    world.now += policy.period + 1;
    tell(&world, CHILD_EXITED);
    assert_int_equal(world.child.state, CHILD_STARTING);
}

static void test_fork_that_fails_is_an_early_death(void **state)
{
    (void)state;
    static const struct {
        child_state_t state;
        child_event_t event;
    } rows[] = {
        {CHILD_DOWN, CHILD_START}, {CHILD_READY, CHILD_EXITED}, {CHILD_BACKOFF, CHILD_TIMER}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        world_t world;
        world_init(&world);
        world.cannot_spawn = true;
        world.child.state = rows[i].state;
        tell(&world, rows[i].event);
        assert_int_equal(world.child.state, CHILD_BACKOFF);
        assert_int_equal(world.armed, policy.first_delay);
        assert_int_equal(world.child.early, 1);
    }
}

static void test_restart_brings_a_successor_and_stop_calls_it_off(void **state)
{
    (void)state;
    world_t world;
    world_init(&world);
    tell(&world, CHILD_START);
    tell(&world, CHILD_IS_UP);
    tell(&world, CHILD_RESTART);
    tell(&world, CHILD_EXITED);
    assert_int_equal(world.child.state, CHILD_STARTING);
    assert_int_equal(world.spawned, 1);
    assert_int_equal(world.child.early, 0);

    tell(&world, CHILD_IS_UP);
    tell(&world, CHILD_RESTART);
    tell(&world, CHILD_STOP);
    tell(&world, CHILD_EXITED);
    assert_int_equal(world.child.state, CHILD_DOWN);
    assert_int_equal(world.spawned, 0);
}

static void test_who_is_to_have_a_successor_may_take_its_time(void **state)
{
    (void)state;
    world_t world;
    world_init(&world);
    tell(&world, CHILD_START);
    tell(&world, CHILD_IS_UP);
    tell(&world, CHILD_RESTART);
    for (int i = 0; i < 3; i++) {
        tell(&world, CHILD_IS_BUSY);
        assert_int_equal(world.child.state, CHILD_STOPPING);
        assert_int_equal(world.armed, policy.stop_timeout);
    }
    tell(&world, CHILD_STOP);
    assert_int_equal(world.signalled, SIGINT);
    tell(&world, CHILD_IS_BUSY);
    assert_int_equal(world.armed, NO_TIMER);
    tell(&world, CHILD_STOP);
    assert_int_equal(world.signalled, NO_SIGNAL);
    tell(&world, CHILD_TIMER);
    assert_int_equal(world.signalled, SIGKILL);
}

static void test_shipped_policy(void **state)
{
    (void)state;
    assert_int_equal(child_policy_default.first_delay, 50);
    assert_int_equal(child_policy_default.last_delay, 5000);
    assert_int_equal(child_policy_default.start_timeout, 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_early_deaths_are_followed_ever_later),
        cmocka_unit_test(test_late_deaths_are_followed_at_once_but_not_for_ever),
        cmocka_unit_test(test_fork_that_fails_is_an_early_death),
        cmocka_unit_test(test_restart_brings_a_successor_and_stop_calls_it_off),
        cmocka_unit_test(test_who_is_to_have_a_successor_may_take_its_time),
        cmocka_unit_test(test_shipped_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
