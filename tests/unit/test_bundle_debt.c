/* Clean-up debt: tried again until it is gone, listed meanwhile, found again, in nobody's way. */
#include "tests/unit/bundle_fixture.h"

#include "workers/bundle/bundle_debt.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TASK        "run/task/" NS "/"
#define WORK        "root/task/" NS "/"
#define PATIENCE_MS 20000
#define FAR         (util_now_ms() + 60000)
#define SOON_MS     200

typedef struct cell {
    fixture_t *fixture;
    zloop_t *loop;
    io_set_t *io;
    bundle_jobs_t *jobs;
    bundle_debts_t *debts;
    int answers, drops; /* calls of `on_done` */
} cell_t;

static void begin_anew(cell_t *self)
{
    const bundle_store_t *store = self->fixture->store;
    const int keep[] = {bundle_store_run_fd(store), bundle_store_root_fd(store)};
    self->jobs = bundle_jobs_new(self->io, keep, ARRAY_SIZE(keep));
    self->debts = bundle_debts_new(store, self->jobs, self->io);
}

static int set_up(void **state)
{
    cell_t *self = calloc(1, sizeof *self);
    fixture_set_up((void **)&self->fixture);
    self->loop = zloop_new();
    self->io = io_set_new(self->loop);
    begin_anew(self);
    *state = self;
    return 0;
}

/* As a worker does that ends, or is killed: the directories stay. */
static void forget(cell_t *self)
{
    bundle_jobs_destroy(&self->jobs);
    bundle_debts_destroy(&self->debts);
}

static int tear_down(void **state)
{
    cell_t *self = *state;
    forget(self);
    io_set_destroy(&self->io);
    zloop_destroy(&self->loop);
    fixture_tear_down((void **)&self->fixture);
    free(self);
    return 0;
}

static void on_done(void *arg, const status_t *st)
{
    cell_t *self = arg;
    assert_true(!st || st->code == STATUS_OK);
    *(st ? &self->answers : &self->drops) += 1;
}

/* Deletes a bundle as the worker does. */
static void clear(cell_t *self, const char *id, char hidden[BUNDLE_DIR_NAME_SIZE], int64_t deadline)
{
    status_t st;
    bool is_mount_point;
    if (bundle_remove_hide(self->fixture->store, NS, id, INC1, hidden, &is_mount_point, &st))
        fail_msg("%s", st.text);
    bundle_debts_clear(self->debts, NS, hidden, deadline, on_done, self);
}

static msg_bundles_t listed(cell_t *self)
{
    msg_bundles_t all = {0};
    bundle_debts_list(self->debts, self->fixture->zone, &all);
    return all;
}

/* Waiting ----------------------------------------------------------------------------------------
 */

typedef struct wait {
    cell_t *cell;
    bool (*is_over)(cell_t *cell);
    int64_t give_up;
} wait_t;

static int look(zloop_t *loop, int timer, void *arg)
{
    const wait_t *wait = arg;
    (void)loop;
    (void)timer;
    if (util_now_ms() > wait->give_up)
        fail_msg("%zu jobs, %zu debts", bundle_jobs_count(wait->cell->jobs),
                 listed(wait->cell).debts.count);
    return wait->is_over(wait->cell) ? -1 : 0;
}

static void run_until(cell_t *self, bool (*is_over)(cell_t *cell))
{
    wait_t wait = {.cell = self, .is_over = is_over, .give_up = util_now_ms() + PATIENCE_MS};
    int timer = zloop_timer(self->loop, 1, 0, look, &wait);
    zloop_start(self->loop);
    zloop_timer_end(self->loop, timer);
}

static bool is_answered(cell_t *self)
{
    return self->answers > 0;
}

static bool has_debt(cell_t *self)
{
    return listed(self).debts.count > 0;
}

static bool has_failed_twice(cell_t *self)
{
    msg_bundles_t all = listed(self);
    return all.debts.count && strstr(all.debts.items[0].debt, "failed 2 times");
}

static bool is_idle(cell_t *self)
{
    return bundle_jobs_count(self->jobs) == 0;
}

static bool is_empty(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY);
    return fd < 0 || bundle_dir_is_empty(fd); /* a sweep removes an empty namespace */
}

static bool is_bare(cell_t *self)
{
    return is_empty(at(self->fixture, TASK)) && is_empty(at(self->fixture, WORK));
}

/* Tests ------------------------------------------------------------------------------------------
 */

static void test_quick(void **state)
{
    cell_t *self = *state;
    char hidden[BUNDLE_DIR_NAME_SIZE];
    make_bundle(self->fixture, "a");
    clear(self, "a", hidden, FAR);
    assert_int_equal(self->answers, 1);
    assert_true(is_bare(self));
    assert_false(has_debt(self));
}

/* A bundle with a mount that is busy as long as the descriptor is open, which is returned. */
static int make_busy(cell_t *self)
{
    make_bundle(self->fixture, "a");
    mount_bind(at(self->fixture, "precious"), at(self->fixture, TASK "a/rootfs"));
    return open(at(self->fixture, TASK "a/rootfs/file"), O_RDONLY);
}

static void test_busy(void **state)
{
    NEED_MOUNTS();
    cell_t *self = *state;
    char hidden[BUNDLE_DIR_NAME_SIZE], want[STATUS_TEXT_SIZE];
    int held = make_busy(self);
    int64_t begun = util_now_ms();
    clear(self, "a", hidden, FAR);
    run_until(self, is_answered);
    assert_true(util_now_ms() - begun < BUNDLE_DEBT_PATIENCE);
    msg_bundles_t all = listed(self);
    assert_int_equal(all.debts.count, 1);
    assert_string_equal(all.debts.items[0].ns, NS);
    assert_string_equal(all.debts.items[0].id, "a");
    assert_string_equal(all.debts.items[0].path, at(self->fixture, TASK "%s", hidden));
    snprintf(want, sizeof want, "unmount %s/rootfs: Device or resource busy (deleted at 2",
             at(self->fixture, TASK "%s", hidden));
    assert_memory_equal(all.debts.items[0].debt, want, strlen(want));
    assert_non_null(strstr(all.debts.items[0].debt, "failed 1 time, next try in 1 s)"));
    /* The pause is twice as long after the second failure. */
    run_until(self, has_failed_twice);
    assert_non_null(strstr(listed(self).debts.items[0].debt, "next try in 2 s)"));
    make_bundle(self->fixture, "a");
    close(held);
    bool is_mount_point;
    status_t st;
    assert_int_equal(
        bundle_remove_hide(self->fixture->store, NS, "a", INC1, hidden, &is_mount_point, &st),
        STATUS_OK);
    bundle_debts_clear(self->debts, NS, hidden, FAR, on_done, self);
    assert_int_equal(self->answers, 2); /* not behind the older one */
    run_until(self, is_bare);
    expect_file(at(self->fixture, "precious/file"), "precious");
}

/* Whoever has seen to what was in the way need not wait for the next try. */
static void test_retry(void **state)
{
    NEED_MOUNTS();
    cell_t *self = *state;
    char hidden[BUNDLE_DIR_NAME_SIZE];
    int held = make_busy(self);
    clear(self, "a", hidden, FAR);
    bundle_debts_retry(self->debts); /* the first try goes on */
    run_until(self, has_failed_twice);
    close(held);
    bundle_debts_retry(self->debts);
    assert_non_null(strstr(listed(self).debts.items[0].debt, "failed 2 times, being tried)"));
    bundle_debts_retry(self->debts);
    run_until(self, is_bare);
    assert_int_equal(self->answers, 1);
}

/* A worker that starts finds all of it; what is not busy goes at once. */
static void test_found_again(void **state)
{
    NEED_MOUNTS();
    cell_t *self = *state;
    char hidden[BUNDLE_DIR_NAME_SIZE];
    int held = make_busy(self);
    clear(self, "a", hidden, FAR);
    forget(self);
    assert_int_equal(self->drops, 1);
    make_dir(at(self->fixture, TASK ".b.new-" INC2));
    make_dir(at(self->fixture, WORK "orphan"));
    make_dir(at(self->fixture, WORK "orphan/deep"));
    begin_anew(self);
    bundle_debts_sweep_soon(self->debts);
    run_until(self, has_debt);
    assert_int_equal(listed(self).debts.count, 1);
    assert_string_equal(listed(self).debts.items[0].id, "a");
    close(held);
    run_until(self, is_bare);
    assert_int_equal(self->answers, 0);
}

/* Something that hangs: an older try for the same directory whose child does not end. */
static bundle_job_next_t ask_for_child(void *arg, status_t *st)
{
    (void)arg;
    (void)st;
    return BUNDLE_JOB_CHILD;
}

static status_code_t hang(void *arg, status_t *st)
{
    (void)arg;
    for (;;)
        pause();
    return st->code;
}

static void ignore(void *arg, const status_t *st)
{
    (void)arg;
    (void)st;
}

static const bundle_job_ops_t hanging = {.here = ask_for_child, .child = hang, .done = ignore};

/* All children hang: a delete is answered all the same, and is listed. */
static void test_hanging(void **state)
{
    cell_t *self = *state;
    char hidden[BUNDLE_DIR_NAME_SIZE];
    for (int i = 0; i < BUNDLE_JOB_CHILDREN_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        bundle_jobs_add(self->jobs, key, "hang", FAR, &hanging, NULL);
    }
    make_bundle(self->fixture, "a");
    make_dir(at(self->fixture, WORK "a/deep")); /* nothing for this process */
    int64_t begun = util_now_ms();
    clear(self, "a", hidden, begun + SOON_MS);
    assert_int_equal(self->answers, 0);
    run_until(self, is_answered);
    assert_true(util_now_ms() - begun >= SOON_MS / 2 - 1);
    assert_int_equal(listed(self).debts.count, 1);
    assert_non_null(strstr(listed(self).debts.items[0].debt, "still being unmounted"));
    make_bundle(self->fixture, "a");
    assert_true(exists(at(self->fixture, WORK "%s/deep", hidden)));
}

/* Removes `name` from all directories in `path` that have it, after which nothing needs a child any
 * more. */
static void remove_below(const char *path, const char *name)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY);
    DIR *stream = bundle_dir_list(fd);
    for (struct dirent *entry; (entry = bundle_dir_next(stream));) {
        AUTO_FREE char *below = util_format("%s/%s", entry->d_name, name);
        assert_true(unlinkat(fd, below, AT_REMOVEDIR) == 0 || errno == ENOENT);
    }
    closedir(stream);
}

/* More left-overs than are looked after at once: the rest is not forgotten, for it is on disk. */
static void test_limit(void **state)
{
    cell_t *self = *state;
    enum { MORE = BUNDLE_DEBT_MAX + 3 };
    status_t st;
    make_bundle(self->fixture, "a");
    for (int i = 0; i < BUNDLE_JOB_CHILDREN_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        bundle_jobs_add(self->jobs, key, "hang", FAR, &hanging, NULL);
    }
    for (int i = 0; i < MORE; i++) {
        make_dir(at(self->fixture, WORK "x%d", i));
        make_dir(at(self->fixture, WORK "x%d/deep", i));
    }
    assert_int_equal(bundle_debts_sweep(self->debts, &st), STATUS_OK);
    assert_int_equal(bundle_jobs_count(self->jobs), BUNDLE_JOB_CHILDREN_MAX + BUNDLE_DEBT_AT_ONCE);
    char hidden[BUNDLE_DIR_NAME_SIZE];
    clear(self, "a", hidden, FAR);
    assert_int_equal(self->answers, 1); /* not kept waiting; a later sweep finds it */
    assert_true(exists(at(self->fixture, TASK "%s", hidden)));
    forget(self);
    /* Without those that hang all goes, those beyond the limit with the second sweep. */
    remove_below(at(self->fixture, WORK), "deep");
    begin_anew(self);
    assert_int_equal(bundle_debts_sweep(self->debts, &st), STATUS_OK);
    run_until(self, is_idle);
    assert_false(is_bare(self));
    assert_int_equal(bundle_debts_sweep(self->debts, &st), STATUS_OK);
    run_until(self, is_bare);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_quick),       TEST(test_busy),    TEST(test_retry),
        TEST(test_found_again), TEST(test_hanging), TEST(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
