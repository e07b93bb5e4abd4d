/* One-shot timers of an io_set. */
#include "common/io_timer.h"

#include "common/util.h"

#include <setjmp.h>

#include <cmocka.h>

#define TIMERS 5

typedef struct fixture {
    zloop_t *loop;
    io_set_t *io;
    io_timer_t timers[TIMERS];
    int order[64], count;
    int again; /* how often a handler sets its own timer again */
} fixture_t;

static fixture_t *fixture; /* handlers' argument is the number of their timer */

static int stop(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    (void)arg;
    return -1;
}

static void run_ms(fixture_t *self, size_t ms)
{
    zloop_timer(self->loop, ms, 1, stop, NULL);
    zloop_start(self->loop);
}

static void note(void *arg)
{
    fixture->order[fixture->count++] = (int)(intptr_t)arg;
}

static int set_up(void **state)
{
    fixture_t *self = zmalloc(sizeof *self);
    zsys_handler_set(NULL);
    self->loop = zloop_new();
    self->io = io_set_new(self->loop);
    for (intptr_t i = 0; i < TIMERS; i++)
        io_timer_init(&self->timers[i], note, (void *)i);
    *state = fixture = self;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    io_set_destroy(&self->io);
    zloop_destroy(&self->loop);
    free(self);
    return 0;
}

static void timers_fire_once_in_order_of_time(void **state)
{
    fixture_t *self = *state;
    io_timer_in(self->io, &self->timers[0], 9);
    io_timer_in(self->io, &self->timers[1], 3);
    io_timer_in(self->io, &self->timers[2], 6);
    io_timer_at(self->io, &self->timers[3], 0);
    io_timer_at(self->io, &self->timers[4], INT64_MAX);
    run_ms(self, 40);
    assert_int_equal(self->count, 4);
    assert_int_equal(self->order[0], 3);
    assert_int_equal(self->order[1], 1);
    assert_int_equal(self->order[2], 2);
    assert_int_equal(self->order[3], 0);
}

static void a_timer_that_is_set_again_has_the_new_time_only(void **state)
{
    fixture_t *self = *state;
    io_timer_in(self->io, &self->timers[0], 1);
    io_timer_in(self->io, &self->timers[0], 10000);
    io_timer_in(self->io, &self->timers[1], 10000);
    io_timer_advance(self->io, &self->timers[1], util_monotonic_us());
    io_timer_in(self->io, &self->timers[2], 1);
    io_timer_advance(self->io, &self->timers[2], INT64_MAX);
    io_timer_in(self->io, &self->timers[3], 1);
    io_timer_stop(self->io, &self->timers[3]);
    io_timer_stop(self->io, &self->timers[3]);
    run_ms(self, 20);
    assert_int_equal(self->count, 2);
    assert_int_equal(self->order[0] + self->order[1], 1 + 2);
}

static void stop_the_next(void *arg)
{
    note(arg);
    io_timer_stop(fixture->io, &fixture->timers[1]);
}

static void a_handler_stops_one_that_is_due_with_it(void **state)
{
    fixture_t *self = *state;
    int64_t when = util_monotonic_us() + 2000;
    io_timer_init(&self->timers[0], stop_the_next, (void *)0);
    io_timer_at(self->io, &self->timers[0], when);
    io_timer_at(self->io, &self->timers[1], when);
    io_timer_at(self->io, &self->timers[2], when);
    run_ms(self, 20);
    assert_int_equal(self->count, 2);
    assert_int_equal(self->order[1], 2);
}

static void set_again(void *arg)
{
    note(arg);
    if (fixture->again-- > 0)
        io_timer_at(fixture->io, &fixture->timers[0], 0);
}

static void a_handler_that_asks_again_at_once_leaves_the_others_their_turn(void **state)
{
    fixture_t *self = *state;
    self->again = 20;
    io_timer_init(&self->timers[0], set_again, (void *)0);
    io_timer_at(self->io, &self->timers[0], 0);
    io_timer_at(self->io, &self->timers[1], 0);
    run_ms(self, 20);
    assert_int_equal(self->count, 22);
    int place = 0;
    while (self->order[place] != 1)
        place++;
    assert_true(place <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_once_in_order_of_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_timer_that_is_set_again_has_the_new_time_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_handler_stops_one_that_is_due_with_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_handler_that_asks_again_at_once_leaves_the_others_their_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
