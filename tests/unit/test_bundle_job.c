/* Turns, children, deadlines and limits of the bundle worker's jobs. */
#include "workers/bundle/bundle_job.h"

#include "common/util.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000 /* for what must happen */
#define FAR         (util_now_ms() + 60000)
#define NEAR        (util_now_ms() + 200)
#define FD_PROBED   200 /* descriptors below this are looked at */

typedef struct fixture {
    zloop_t *loop;
    io_set_t *io;
    bundle_jobs_t *jobs;
    int gate[2]; /* children wait for a byte from it, or its end */
} fixture_t;

/* What a job does, and what became of it. */
typedef struct probe {
    fixture_t *fixture;
    char name;
    enum { HERE, REFUSE, SAY, CRASH, WAIT, HANG, LIST_FDS, ADD_MORE } does;
    int done; /* number of calls */
    bool is_dropped;
    status_t st;
    struct probe *more;
} probe_t;

static char begun[1024], ended[1024]; /* names in the order of `here` and `done` */
static size_t children_most;

static void note(char *line, char name)
{
    size_t used = strlen(line);
    if (used < sizeof begun - 1)
        line[used] = name;
}

static bundle_job_next_t here(void *arg, status_t *st)
{
    probe_t *self = arg;
    note(begun, self->name);
    if (self->does == REFUSE)
        status_set(st, STATUS_NOT_FOUND, "no");
    return self->does == HERE || self->does == REFUSE || self->does == ADD_MORE ? BUNDLE_JOB_DONE
                                                                                : BUNDLE_JOB_CHILD;
}

/* The descriptors above standard error that are open, as text. */
static void list_fds(status_t *st)
{
    char text[256] = "";
    for (int fd = 3; fd < FD_PROBED; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            snprintf(text + strlen(text), sizeof text - strlen(text), " %d", fd);
    status_set(st, STATUS_OUT_OF_RANGE, "%s", text);
}

static status_code_t in_child(void *arg, status_t *st)
{
    probe_t *self = arg;
    char byte;
    if (self->does == CRASH)
        raise(SIGKILL);
    if (self->does == WAIT && read(self->fixture->gate[0], &byte, 1) < 0)
        return status_set(st, STATUS_INTERNAL, "gate");
    while (self->does == HANG)
        pause();
    if (self->does == LIST_FDS)
        list_fds(st);
    if (self->does == SAY)
        return status_set(st, STATUS_FAILED_PRECONDITION, "said by %c", self->name);
    return st->code;
}

static void done(void *arg, const status_t *st);

static const bundle_job_ops_t ops = {.here = here, .child = in_child, .done = done};

static void done(void *arg, const status_t *st)
{
    probe_t *self = arg;
    self->done++;
    self->is_dropped = !st;
    if (st)
        self->st = *st;
    note(ended, self->name);
    size_t children = bundle_jobs_children(self->fixture->jobs);
    children_most = children > children_most ? children : children_most;
    if (self->does == ADD_MORE)
        bundle_jobs_add(self->fixture->jobs, "k", "more", FAR, &ops, self->more);
}

static int set_up(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    self->loop = zloop_new();
    self->io = io_set_new(self->loop);
    assert_int_equal(pipe2(self->gate, O_CLOEXEC), 0);
    self->jobs = bundle_jobs_new(self->io, self->gate, 1);
    memset(begun, 0, sizeof begun);
    memset(ended, 0, sizeof ended);
    children_most = 0;
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    bundle_jobs_destroy(&self->jobs);
    io_set_destroy(&self->io);
    zloop_destroy(&self->loop);
    util_close(&self->gate[0]);
    util_close(&self->gate[1]);
    free(self);
    return 0;
}

static void add(fixture_t *self, probe_t *probe, const char *key, int64_t deadline)
{
    probe->fixture = self;
    bundle_jobs_add(self->jobs, key, "job", deadline, &ops, probe);
}

typedef struct until {
    const fixture_t *fixture;
    size_t jobs;
    int64_t give_up;
} until_t;

static int look(zloop_t *loop, int timer, void *arg)
{
    const until_t *until = arg;
    (void)loop;
    (void)timer;
    if (util_now_ms() > until->give_up)
        fail_msg("%zu jobs are left", bundle_jobs_count(until->fixture->jobs));
    return bundle_jobs_count(until->fixture->jobs) <= until->jobs ? -1 : 0;
}

/* Runs the loop until no more than `jobs` are left. */
static void run_until(fixture_t *self, size_t jobs)
{
    until_t until = {.fixture = self, .jobs = jobs, .give_up = util_now_ms() + PATIENCE_MS};
    int timer = zloop_timer(self->loop, 1, 0, look, &until);
    zloop_start(self->loop);
    zloop_timer_end(self->loop, timer);
}

static void let_through(fixture_t *self, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(write(self->gate[1], "", 1), 1);
}

static void test_at_once(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = HERE}, b = {.name = 'b', .does = REFUSE};
    add(self, &a, "k", FAR);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.st.code, STATUS_OK);
    add(self, &b, "k", FAR);
    assert_int_equal(b.st.code, STATUS_NOT_FOUND);
    assert_int_equal(bundle_jobs_count(self->jobs), 0);
}

static void test_outcome_of_child(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = SAY}, b = {.name = 'b', .does = CRASH};
    add(self, &a, "a", FAR);
    add(self, &b, "b", FAR);
    assert_int_equal(a.done, 0);
    run_until(self, 0);
    assert_int_equal(a.st.code, STATUS_FAILED_PRECONDITION);
    assert_string_equal(a.st.text, "said by a");
    assert_int_equal(b.st.code, STATUS_INTERNAL);
    assert_string_equal(b.st.text, "job: its process ended with signal 9");
    assert_int_equal(a.done + b.done, 2);
    assert_int_equal(bundle_jobs_children(self->jobs), 0);
}

static void test_turns(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = WAIT}, b = {.name = 'b', .does = HERE},
            c = {.name = 'c', .does = WAIT}, d = {.name = 'd', .does = HERE},
            e = {.name = 'e', .does = HERE};
    add(self, &a, "k", FAR);
    add(self, &b, "k", FAR);
    add(self, &c, "k", FAR);
    add(self, &d, "k", FAR);
    add(self, &e, "other", FAR);
    assert_string_equal(begun, "ae");
    assert_string_equal(ended, "e");
    let_through(self, 1);
    run_until(self, 2);
    assert_string_equal(begun, "aebc");
    let_through(self, 1);
    run_until(self, 0);
    assert_string_equal(begun, "aebcd");
    assert_string_equal(ended, "eabcd");
}

static void test_done_adds(void **state)
{
    fixture_t *self = *state;
    probe_t b = {.name = 'b', .does = HERE, .fixture = self};
    probe_t a = {.name = 'a', .does = ADD_MORE, .more = &b};
    add(self, &a, "k", FAR);
    assert_string_equal(ended, "ab");
    assert_int_equal(bundle_jobs_count(self->jobs), 0);
}

static void test_deadline_of_child(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = HANG}, b = {.name = 'b', .does = HERE};
    add(self, &a, "k", NEAR);
    add(self, &b, "k", FAR);
    assert_int_equal(b.done, 0);
    run_until(self, 0);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.st.code, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(b.st.code, STATUS_OK);
    assert_string_equal(ended, "ab");
}

static void test_deadline_of_waiting(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = WAIT}, b = {.name = 'b', .does = HERE},
            c = {.name = 'c', .does = HERE};
    add(self, &a, "k", FAR);
    add(self, &b, "k", NEAR);
    add(self, &c, "k", util_now_ms() - 1000); /* long past */
    run_until(self, 1);
    assert_int_equal(b.st.code, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(c.st.code, STATUS_DEADLINE_EXCEEDED);
    assert_string_equal(begun, "a");
    assert_int_equal(a.done, 0);
    let_through(self, 1);
    run_until(self, 0);
    assert_int_equal(a.st.code, STATUS_OK);
}

static void test_children_are_bounded(void **state)
{
    fixture_t *self = *state;
    enum { JOBS = 2 * BUNDLE_JOB_CHILDREN_MAX + 3 };
    probe_t probes[JOBS] = {0};
    for (int i = 0; i < JOBS; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        probes[i] = (probe_t){.name = 'x', .does = WAIT};
        add(self, &probes[i], key, FAR);
    }
    probe_t quick = {.name = 'q', .does = HERE};
    add(self, &quick, "quick", FAR);
    assert_int_equal(quick.done, 1);
    assert_int_equal(bundle_jobs_children(self->jobs), BUNDLE_JOB_CHILDREN_MAX);
    let_through(self, JOBS);
    run_until(self, 0);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(probes[i].done, 1);
    assert_true(children_most <= BUNDLE_JOB_CHILDREN_MAX);
}

static void test_jobs_are_bounded(void **state)
{
    fixture_t *self = *state;
    static probe_t probes[BUNDLE_JOB_JOBS_MAX + 1];
    for (int i = 0; i <= BUNDLE_JOB_JOBS_MAX; i++) {
        probes[i] = (probe_t){.name = 'x', .does = i ? HERE : WAIT};
        add(self, &probes[i], "k", FAR);
    }
    assert_int_equal(probes[BUNDLE_JOB_JOBS_MAX].st.code, STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(probes[BUNDLE_JOB_JOBS_MAX - 1].done, 0);
    let_through(self, 1);
    run_until(self, 0);
    for (int i = 0; i <= BUNDLE_JOB_JOBS_MAX; i++)
        assert_int_equal(probes[i].done, 1);
}

static void test_descriptors(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = LIST_FDS};
    int lock = dup(self->gate[0]); /* something that must not stay open */
    add(self, &a, "k", FAR);
    run_until(self, 0);
    int kept, pipe, more;
    assert_int_equal(sscanf(a.st.text, "%d %d %d", &kept, &pipe, &more), 2);
    assert_true(kept == self->gate[0] || pipe == self->gate[0]);
    close(lock);
}

static void test_destroy(void **state)
{
    fixture_t *self = *state;
    probe_t a = {.name = 'a', .does = HANG}, b = {.name = 'b', .does = HERE};
    add(self, &a, "k", FAR);
    add(self, &b, "k", FAR);
    bundle_jobs_t *jobs = TAKE(self->jobs);
    self->jobs = bundle_jobs_new(self->io, NULL, 0);
    bundle_jobs_destroy(&jobs);
    assert_true(a.is_dropped && b.is_dropped);
    assert_int_equal(a.done + b.done, 2);
    assert_string_equal(begun, "a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_at_once),
        TEST(test_outcome_of_child),
        TEST(test_turns),
        TEST(test_done_adds),
        TEST(test_deadline_of_child),
        TEST(test_deadline_of_waiting),
        TEST(test_children_are_bounded),
        TEST(test_jobs_are_bounded),
        TEST(test_descriptors),
        TEST(test_destroy),
    };
    alarm(120);
    zsys_handler_set(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
