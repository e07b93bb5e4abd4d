/* shimctl doctor: which findings are believed, and what one look makes of what was said and seen.
 */
#include "client/doctor/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000 /* us */

/* Findings ---------------------------------------------------------------------------------------
 */

static void age(finding_t *finding, int64_t ms)
{
    finding->since_us -= ms * MS;
}

static void test_only_what_lasts_is_believed(void **state)
{
    (void)state;
    findings_t *first = findings_new(), *second = findings_new();
    age(findings_add(first, FINDING_DEAD_SOCKET, "ns", "a", "/s/a", 1, "x"), 500);
    age(findings_add(first, FINDING_STRAY_FIFO, "ns", "b", "/f/b", 1, "x"), 500);
    findings_add(first, FINDING_LEAKED_SHIM, "ns", "c", "pid 3", 1, "x");
    findings_add(second, FINDING_DEAD_SOCKET, "ns", "a", "/s/a", 1, "x");
    findings_add(second, FINDING_STRAY_FIFO, "ns", "b", "/f/b", 1, "x");
    findings_add(second, FINDING_LEAKED_SHIM, "ns", "c", "pid 3", 2, "another process");
    findings_follow(second, first);
    int64_t now = util_monotonic_us();
    assert_int_equal(findings_young(second, now), 2); /* the fifo must last longer */
    findings_drop_young(second, now);
    assert_int_equal(findings_count(second), 1);
    assert_string_equal(findings_first(second)->object, "/s/a");
    assert_null(findings_next(second));
    findings_destroy(&first);
    findings_destroy(&second);
}

static void test_findings_come_in_the_order_of_their_repair(void **state)
{
    (void)state;
    findings_t *self = findings_new();
    findings_add(self, FINDING_STALE_BUNDLE, "ns", "a", "/a", 0, "x");
    findings_add(self, FINDING_STRAY_RUNC, "ns", "b", "/b", 0, "x");
    findings_add(self, FINDING_STRAY_RUNC, "ns", "c", "/c", 0, "x");
    findings_add(self, FINDING_RECORD_MISMATCH, "ns", "d", "ns/d", 0, "x");
    findings_add(self, FINDING_STRAY_RUNC, "ns", "b", "/b", 0, "the same again");
    const char *const order[] = {"ns/d", "/b", "/c", "/a"};
    size_t count = 0;
    for (finding_t *f = findings_first(self); f; f = findings_next(self))
        assert_string_equal(f->object, order[count++]);
    assert_int_equal(count, ARRAY_SIZE(order));
    findings_destroy(&self);
}

static void test_every_kind_is_described(void **state)
{
    (void)state;
    for (finding_kind_t kind = 0; kind < FINDING_KINDS; kind++) {
        const finding_type_t *type = finding_type(kind);
        assert_non_null(type->name);
        assert_non_null(type->mend);
        assert_true(type->patience_ms > 0);
        for (finding_kind_t other = 0; other < kind; other++)
            assert_string_not_equal(type->name, finding_type(other)->name);
    }
}

/* One look ---------------------------------------------------------------------------------------
 */

/* A machine in a directory that is not there: nothing is seen but what a test adds. */
typedef struct world {
    cluster_t cluster;
    asker_t asker;
    machine_t *machine;
    msg_process_t tasks[2][4];
    said_t *said[2];
} world_t;

static said_t *said_new(void)
{
    said_t *self = zmalloc(sizeof *self);
    self->has[SAID_TASKS] = true;
    self->task_by_key = zhashx_new();
    self->run_by_key = zhashx_new();
    self->record_by_key = zhashx_new();
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    return self;
}

static int setup(void **state)
{
    world_t *self = zmalloc(sizeof *self);
    snprintf(self->cluster.run_dir, sizeof self->cluster.run_dir, "/nonexistent/run");
    snprintf(self->cluster.root_dir, sizeof self->cluster.root_dir, "/nonexistent/root");
    asker_init(&self->asker, NULL);
    self->machine = machine_look(&self->cluster);
    zlistx_purge(self->machine->rows[SEEN_SOCKET]);
    for (int i = 0; i < 2; i++)
        self->said[i] = said_new();
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    world_t *self = *state;
    for (int i = 0; i < 2; i++)
        said_destroy(&self->said[i]);
    machine_destroy(&self->machine);
    asker_clear(&self->asker);
    free(self);
    return 0;
}

/* Said before and after; `again` is NULL when it is the same. */
static void say(world_t *self, const msg_process_t *task, const msg_process_t *again)
{
    const msg_process_t *both[] = {task, again ? again : task};
    for (int i = 0; i < 2; i++) {
        char key[SEEN_KEY_SIZE];
        size_t at = self->said[i]->tasks.tasks.count++;
        self->tasks[i][at] = *both[i];
        self->said[i]->tasks.tasks.items = self->tasks[i];
        zhashx_insert(self->said[i]->task_by_key, seen_key(task->ns, task->id, key),
                      &self->tasks[i][at]);
    }
}

static bool is_found(world_t *self, finding_kind_t kind, const char *id)
{
    findings_t *found = compare_look(&self->asker, self->said[0], self->machine, self->said[1]);
    bool there = false;
    for (finding_t *f = findings_first(found); f; f = findings_next(found))
        there = there || (f->kind == kind && !strcmp(f->id, id));
    findings_destroy(&found);
    return there;
}

static void see(world_t *self, seen_kind_t kind, const char *id)
{
    machine_add(self->machine, kind, "ns", id, util_format("/seen/%s", id));
}

static void test_what_no_task_has_is_stray(void **state)
{
    world_t *self = *state;
    say(self, &(msg_process_t){.ns = "ns", .id = "mine", .status = "STOPPED"}, NULL);
    see(self, SEEN_RUNC, "mine");
    see(self, SEEN_RUNC, "stray");
    see(self, SEEN_CGROUP, "mine");
    see(self, SEEN_CGROUP, "stray");
    assert_false(is_found(self, FINDING_STRAY_RUNC, "mine"));
    assert_true(is_found(self, FINDING_STRAY_RUNC, "stray"));
    assert_false(is_found(self, FINDING_STRAY_CGROUP, "mine"));
    assert_true(is_found(self, FINDING_STRAY_CGROUP, "stray"));
}

static void test_what_is_under_way_is_no_finding(void **state)
{
    world_t *self = *state;
    const msg_process_t task = {
        .ns = "ns", .id = "a", .status = "RUNNING", .incarnation = "1", .pid = 1};
    msg_process_t again = task;
    assert_false(is_found(self, FINDING_TASK_WITHOUT_BUNDLE, "a"));
    say(self, &task, NULL);
    assert_true(is_found(self, FINDING_TASK_WITHOUT_BUNDLE, "a"));

    again.id = "b"; /* another run of it */
    msg_process_t first = again;
    again.incarnation = "2";
    say(self, &first, &again);
    assert_false(is_found(self, FINDING_TASK_WITHOUT_BUNDLE, "b"));

    again.id = "c";
    again.phase = "deleting";
    say(self, &again, NULL);
    assert_false(is_found(self, FINDING_TASK_WITHOUT_BUNDLE, "c"));

    see(self, SEEN_RUNC, "d"); /* a shim's executable runs for it */
    assert_true(is_found(self, FINDING_STRAY_RUNC, "d"));
    see(self, SEEN_VERB, "d");
    assert_false(is_found(self, FINDING_STRAY_RUNC, "d"));
}

static void test_what_does_not_come_to_its_end_is_a_finding(void **state)
{
    world_t *self = *state;
    msg_process_t task = {.ns = "ns", .id = "works", .status = "STOPPED", .phase = "burying"};
    task.phase_ms = COMPARE_STUCK_MS - 1;
    say(self, &task, NULL);
    assert_false(is_found(self, FINDING_STUCK_TASK, "works"));
    task.id = "lasts";
    task.phase_ms = COMPARE_STUCK_MS;
    say(self, &task, NULL);
    assert_true(is_found(self, FINDING_STUCK_TASK, "lasts"));
    task.id = "mute"; /* that says it all */
    task.unresponsive = true;
    say(self, &task, NULL);
    assert_false(is_found(self, FINDING_STUCK_TASK, "mute"));
    task = (msg_process_t){
        .ns = "ns", .id = "held", .status = "STOPPED", .phase = "burying", .held = "no room"};
    say(self, &task, NULL);
    assert_true(is_found(self, FINDING_STUCK_TASK, "held"));
}

static void test_no_limit_is_no_full_disk(void **state)
{
    world_t *self = *state;
    findings_t *found = findings_new();
    cluster_t cluster = {.run_dir = "/proc", .root_dir = "/proc"}; /* of no size */
    self->asker.is_down = true;
    compare_room(found, &self->asker, &cluster);
    assert_int_equal(findings_count(found), 0);
    findings_destroy(&found);
}

static void test_without_the_tasks_nothing_is_stray(void **state)
{
    world_t *self = *state;
    see(self, SEEN_RUNC, "stray");
    see(self, SEEN_SHIM, "stray");
    see(self, SEEN_WORK, "stray");
    self->said[0]->has[SAID_TASKS] = false;
    assert_false(is_found(self, FINDING_STRAY_RUNC, "stray"));
    assert_false(is_found(self, FINDING_LEAKED_SHIM, "stray"));
    assert_false(is_found(self, FINDING_STRAY_WORK, "stray"));
    self->asker.is_down = true; /* all is down: bundles tell */
    assert_true(is_found(self, FINDING_STRAY_RUNC, "stray"));
    assert_true(is_found(self, FINDING_LEAKED_SHIM, "stray"));
}

static void test_requests_are_found_by_name(void **state)
{
    world_t *self = *state;
    see(self, SEEN_RUNC, "stray");
    seen_t *hidden = machine_add(self->machine, SEEN_HIDDEN, "ns", "stray", util_strdup("/h"));
    hidden->has_request = true;
    hidden->request.bytes[0] = 7;
    findings_t *found = compare_look(&self->asker, self->said[0], self->machine, self->said[1]);
    for (finding_t *f = findings_first(found); f; f = findings_next(found)) {
        assert_true(f->has_request);
        assert_int_equal(f->request.bytes[0], 7);
    }
    assert_int_equal(findings_count(found), 2);
    findings_destroy(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_lasts_is_believed),
        cmocka_unit_test(test_findings_come_in_the_order_of_their_repair),
        cmocka_unit_test(test_every_kind_is_described),
        cmocka_unit_test_setup_teardown(test_what_no_task_has_is_stray, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_under_way_is_no_finding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_does_not_come_to_its_end_is_a_finding, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_no_limit_is_no_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_the_tasks_nothing_is_stray, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests_are_found_by_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
