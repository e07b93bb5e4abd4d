/* Queues and window of a service. */
#include "broker/service.h"

#include "common/util.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static service_t *service;
static zlistx_t *jobs; /* all that were made */
static status_t st;
static int64_t now; /* the clock */

static int set_up(void **state)
{
    (void)state;
    service = service_new("shim");
    service->has_worker = true;
    service->window = 2;
    now = 1000 * SERVICE_CALM_US;
    jobs = zlistx_new();
    zlistx_set_destructor(jobs, (zlistx_destructor_fn *)job_destroy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    service_destroy(&service);
    zlistx_destroy(&jobs);
    return 0;
}

static job_t *make(job_lane_t lane, bool takes_slot)
{
    msg_uuid_t id;
    msg_uuid_new(&id);
    job_t *job = job_new(&id);
    job->lane = lane;
    job->takes_slot = takes_slot;
    zlistx_add_end(jobs, job);
    return job;
}

static job_t *enqueue(job_lane_t lane)
{
    job_t *job = make(lane, true);
    assert_int_equal(service_enqueue(service, job, false, &st), STATUS_OK);
    return job;
}

static void give(const job_t *expected)
{
    job_t *job = service_next(service, now);
    assert_ptr_equal(job, expected);
    service_count(service, job, true);
}

static void test_window(void **state)
{
    (void)state;
    job_t *a = enqueue(LANE_WORK), *b = enqueue(LANE_WORK), *c = enqueue(LANE_WORK);
    give(a);
    give(b);
    assert_null(service_next(service, now));
    assert_int_equal(service_queued(service), 1);
    assert_int_equal(service->in_flight, 2);
    service_count(service, a, false);
    give(c);
}

static void test_no_worker_no_job(void **state)
{
    (void)state;
    enqueue(LANE_READ);
    service->has_worker = false;
    assert_null(service_next(service, now));
    assert_int_equal(service_queued(service), 1);
}

static void test_urgent_goes_first_and_over_the_window(void **state)
{
    (void)state;
    job_t *a = enqueue(LANE_WORK), *b = enqueue(LANE_WORK), *c = enqueue(LANE_WORK);
    job_t *kill = enqueue(LANE_URGENT), *more = enqueue(LANE_URGENT);
    give(kill);
    give(more);
    assert_null(service_next(service, now)); /* they fill the window too */
    job_t *third = enqueue(LANE_URGENT);
    give(third);
    for (int i = 0; i < 3; i++)
        service_count(service, third, false);
    give(a);
    give(b);
    assert_null(service_next(service, now));
    assert_int_equal(c->state, JOB_QUEUED);
}

static void test_urgent_has_a_limit(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < service->window + SERVICE_URGENT_OVER; i++)
        give(enqueue(LANE_URGENT));
    enqueue(LANE_URGENT);
    assert_null(service_next(service, now));
}

static void test_reads_go_ahead_of_work_and_beside_its_window(void **state)
{
    (void)state;
    job_t *work[4];
    for (size_t i = 0; i < ARRAY_SIZE(work); i++)
        work[i] = enqueue(LANE_WORK);
    job_t *first = enqueue(LANE_READ), *kill = enqueue(LANE_URGENT);
    give(kill);
    give(first);
    give(work[0]); /* the kill has the other slot */
    assert_null(service_next(service, now));
    job_t *second = enqueue(LANE_READ), *third = enqueue(LANE_READ);
    give(second);
    assert_null(service_next(service, now)); /* their own window is full */
    service_count(service, first, false);
    give(third);
    assert_null(service_next(service, now));
}

static void test_reads_do_not_starve_work(void **state)
{
    (void)state;
    job_t *work = enqueue(LANE_WORK), *more = enqueue(LANE_WORK), *last = enqueue(LANE_WORK);
    for (uint32_t i = 0; i < 4 * service->window; i++)
        enqueue(LANE_READ);
    uint32_t reads = 0;
    job_t *job;
    while ((job = service_next(service, now)) && job->lane == LANE_READ) {
        service_count(service, job, true);
        reads++;
    }
    assert_int_equal(reads, service->window);
    assert_ptr_equal(job, work);
    service_count(service, work, true);
    give(more);
    assert_null(service_next(service, now));
    service_count(service, work, false);
    give(last); /* although reads wait */
}

static job_t *enqueue_suspect(void)
{
    job_t *job = enqueue(LANE_WORK);
    job->deaths = SERVICE_DEATHS_MAX - 1;
    return job;
}

/* One that may have killed its workers must be alone, and a stream of reads never lets it. */
static void test_reads_wait_for_a_suspect(void **state)
{
    (void)state;
    job_t *before = enqueue(LANE_READ);
    give(before);
    job_t *suspect = enqueue_suspect(), *read = enqueue(LANE_READ);
    assert_null(service_next(service, now));
    service_count(service, before, false);
    give(suspect);
    assert_true(suspect->is_alone);
    assert_null(service_next(service, now));
    service_count(service, suspect, false);
    give(read);
}

static void test_nobody_waits_long_for_a_suspect(void **state)
{
    (void)state;
    job_t *slow = enqueue(LANE_WORK);
    give(slow);
    job_t *suspect = enqueue_suspect(), *read = enqueue(LANE_READ);
    now += SERVICE_CALM_US - 1;
    assert_null(service_next(service, now));
    assert_int_equal(service->due, now + 1);
    now++;
    give(suspect); /* what has not killed by now is not expected to */
    assert_false(suspect->is_alone);
    now += SERVICE_CALM_US - 1;
    assert_null(service_next(service, now));
    assert_int_equal(service->due, now + 1);
    now++;
    give(read);
    assert_null(service_next(service, now));
    assert_int_equal(service->due, 0);
}

static void test_a_suspect_is_blamed_for_what_it_does_alone(void **state)
{
    (void)state;
    job_t *suspect = enqueue_suspect();
    give(suspect);
    assert_false(service_job_survives(service, suspect));
}

/* Others may have done it; each time it is alone for longer, and not for ever. */
static void test_a_suspect_is_not_blamed_for_what_others_may_have_done(void **state)
{
    (void)state;
    job_t *suspect = enqueue_suspect();
    for (unsigned i = 0; i < SERVICE_DOUBTS_MAX; i++) {
        give(suspect);
        job_t *other = enqueue(LANE_READ);
        now += (SERVICE_CALM_US << i) - 1;
        assert_null(service_next(service, now));
        now++;
        give(other);
        assert_true(service_job_survives(service, suspect));
        assert_true(service_job_survives(service, other));
        assert_int_equal(other->deaths, 1);
        service_count(service, other, false);
        service_count(service, suspect, false);
        service_enqueue(service, suspect, true, &st);
    }
    give(suspect);
    now += SERVICE_CALM_US << SERVICE_DOUBTS_MAX;
    give(enqueue(LANE_READ));
    assert_false(service_job_survives(service, suspect));
}

static void test_waits_and_those_of_a_leaving_worker_are_never_blamed(void **state)
{
    (void)state;
    job_t *wait = make(LANE_READ, false), *work = make(LANE_WORK, true);
    for (unsigned i = 0; i < 2 * SERVICE_DEATHS_MAX; i++)
        assert_true(service_job_survives(service, wait));
    service->leaves = true;
    for (unsigned i = 0; i < 2 * SERVICE_DEATHS_MAX; i++)
        assert_true(service_job_survives(service, work));
}

static void test_waits_take_no_slot(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        job_t *wait = make(LANE_READ, false);
        assert_int_equal(service_enqueue(service, wait, false, &st), STATUS_OK);
        give(wait);
    }
    assert_int_equal(service->slots, 0);
    assert_int_equal(service->waits, 10);
    assert_int_equal(service->in_flight, 10);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    service->has_worker = false;
    for (int i = 0; i < SERVICE_QUEUE_MAX; i++)
        enqueue(LANE_READ);
    job_t *one_more = make(LANE_READ, true);
    assert_int_equal(service_enqueue(service, one_more, false, &st), STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(st.text, "shim: 8192 requests wait already");
    enqueue(LANE_URGENT); /* killing is still possible */
    enqueue(LANE_WORK);
    /* What a dead worker had is never refused. */
    assert_int_equal(service_enqueue(service, one_more, true, &st), STATUS_OK);
}

static void test_bytes_are_bounded(void **state)
{
    (void)state;
    job_t *large = make(LANE_WORK, true), *small = make(LANE_WORK, true);
    large->body_size = SERVICE_BYTES_MAX - 1;
    small->body_size = 2;
    service->has_worker = false;
    assert_int_equal(service_enqueue(service, large, false, &st), STATUS_OK);
    assert_int_equal(service_enqueue(service, small, false, &st), STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(st.text, "shim: 67108864 bytes of requests are not answered yet");
    job_t *kill = make(LANE_URGENT, true);
    kill->body_size = 2;
    assert_int_equal(service_enqueue(service, kill, false, &st), STATUS_OK);
    service_unqueue(service, large);
    assert_int_equal(service_enqueue(service, small, false, &st), STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(service_enqueue(service, large, true, &st), STATUS_OK); /* counted already */
    service_unqueue(service, large);
    service_release(service, large);
    assert_int_equal(service->lanes[LANE_WORK].bytes, 0);
    assert_int_equal(service_enqueue(service, small, false, &st), STATUS_OK);
}

static void test_again_goes_to_the_front(void **state)
{
    (void)state;
    job_t *a = enqueue(LANE_WORK);
    job_t *again = make(LANE_WORK, true);
    assert_int_equal(service_enqueue(service, again, true, &st), STATUS_OK);
    give(again);
    give(a);
}

static void test_unqueue_from_the_middle(void **state)
{
    (void)state;
    job_t *a = enqueue(LANE_WORK), *b = enqueue(LANE_WORK), *c = enqueue(LANE_WORK);
    service_unqueue(service, b);
    give(a);
    give(c);
    assert_int_equal(service_queued(service), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(window),
        TEST(no_worker_no_job),
        TEST(urgent_goes_first_and_over_the_window),
        TEST(urgent_has_a_limit),
        TEST(reads_go_ahead_of_work_and_beside_its_window),
        TEST(reads_do_not_starve_work),
        TEST(reads_wait_for_a_suspect),
        TEST(nobody_waits_long_for_a_suspect),
        TEST(a_suspect_is_blamed_for_what_it_does_alone),
        TEST(a_suspect_is_not_blamed_for_what_others_may_have_done),
        TEST(waits_and_those_of_a_leaving_worker_are_never_blamed),
        TEST(waits_take_no_slot),
        TEST(queue_is_bounded),
        TEST(bytes_are_bounded),
        TEST(again_goes_to_the_front),
        TEST(unqueue_from_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
