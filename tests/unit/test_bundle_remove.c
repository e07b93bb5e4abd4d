/* Unmounting, deleting and sweeping: what must go, and above all what must not. */
#include "tests/unit/bundle_fixture.h"

#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_mounts.h"
#include "workers/bundle/bundle_remove.h"
#include "workers/bundle/bundle_sweep.h"
#include "workers/bundle/bundle_tree.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TASK         "run/task/" NS "/"
#define WORK         "root/task/" NS "/"
#define HIDDEN       ".a.del-" INC2
#define DEEP         400 /* levels, several times BUNDLE_TREE_DEPTH_MAX */
#define FDS_FOR_DEEP (2 * BUNDLE_TREE_DEPTH_MAX + 32)
#define WIDE         3000
#define RACES        100

static char hidden[BUNDLE_DIR_NAME_SIZE]; /* the name that the bundle deleted last got */

/* Everything the worker does for one delete. */
static status_code_t delete_in(const fixture_t *self, const char *ns, const char *id,
                               const char *incarnation, status_t *st)
{
    bool is_mount_point;
    bundle_remove_hide(self->store, ns, id, incarnation, hidden, &is_mount_point, st);
    if (is_mount_point && !bundle_remove_unmount(self->store, ns, id, incarnation, st))
        bundle_remove_hide(self->store, ns, id, incarnation, hidden, &is_mount_point, st);
    return st->code ? st->code : bundle_remove_hidden(self->store, ns, hidden, st);
}

static status_code_t delete_bundle(const fixture_t *self, const char *id, const char *incarnation,
                                   status_t *st)
{
    return delete_in(self, NS, id, incarnation, st);
}

static void expect_deleted(const fixture_t *self, const char *id)
{
    status_t st;
    if (delete_bundle(self, id, INC1, &st))
        fail_msg("%s", st.text);
    assert_int_equal(count_below(at(self, TASK)), 0);
    assert_int_equal(count_below(at(self, WORK)), 0);
    assert_int_equal(count_mounts(self), 0);
    expect_file(at(self, "precious/file"), "precious");
}

/* The name needs not be a hidden one. */
static bool is_quick(const fixture_t *self, const char *name)
{
    return bundle_remove_is_quick(self->store, NS, name);
}

static bool is_listed(const fixture_t *self, const char *id)
{
    status_t st;
    msg_bundle_t bundle;
    return bundle_store_find(self->store, NS, id, self->zone, &bundle, &st) == STATUS_OK;
}

/* Without mounts ---------------------------------------------------------------------------------
 */

static void test_delete(void **state)
{
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_bundle(self, "b");
    assert_true(is_quick(self, "a"));
    assert_int_equal(delete_bundle(self, "a", INC1, &st), STATUS_OK);
    assert_false(exists(at(self, TASK "a")));
    assert_false(exists(at(self, WORK "a")));
    assert_int_equal(delete_bundle(self, "a", INC1, &st), STATUS_NOT_FOUND);
    assert_int_equal(delete_in(self, "none", "a", NULL, &st), STATUS_NOT_FOUND);
    assert_true(is_listed(self, "b"));
    expect_deleted(self, "b");
}

static void test_incarnations(void **state)
{
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    assert_int_equal(delete_bundle(self, "a", INC2, &st), STATUS_NOT_FOUND);
    assert_true(is_listed(self, "a"));
    make_file(at(self, TASK "a/incarnation"), "garbage");
    assert_int_equal(delete_bundle(self, "a", INC1, &st), STATUS_FAILED_PRECONDITION);
    assert_int_equal(count_below(at(self, TASK "a")), 5);
    assert_int_equal(delete_bundle(self, "a", NULL, &st), STATUS_OK);
    make_dir(at(self, TASK "empty"));
    assert_int_equal(delete_bundle(self, "empty", NULL, &st), STATUS_OK);
    assert_int_equal(count_below(at(self, TASK)), 0);
}

static void test_bad_names(void **state)
{
    fixture_t *self = *state;
    status_t st;
    static const char *const bad[] = {"", ".", "..", "../" NS, HIDDEN, "a/rootfs"};
    make_bundle(self, "a");
    make_dir(at(self, TASK HIDDEN));
    size_t before = count_below(at(self, "run"));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(delete_bundle(self, bad[i], NULL, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(delete_in(self, "..", "a", NULL, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(count_below(at(self, "run")), before);
}

static void test_symlinks(void **state)
{
    fixture_t *self = *state;
    status_t st;
    const char *precious = at(self, "precious");
    make_bundle(self, "a");
    unlink(at(self, TASK "a/work"));
    rmdir(at(self, TASK "a/rootfs"));
    rmdir(at(self, WORK "a"));
    assert_int_equal(symlink(precious, at(self, TASK "a/work")), 0);
    assert_int_equal(symlink(precious, at(self, TASK "a/rootfs")), 0);
    assert_int_equal(symlink(precious, at(self, TASK "a/link")), 0);
    assert_int_equal(symlink(precious, at(self, WORK "a")), 0);
    expect_deleted(self, "a");
    /* The bundle itself, and a namespace. */
    assert_int_equal(symlink(precious, at(self, TASK "b")), 0);
    assert_int_equal(delete_bundle(self, "b", NULL, &st), STATUS_FAILED_PRECONDITION);
    make_dir(at(self, "precious/c"));
    assert_int_equal(symlink(precious, at(self, "run/task/evil")), 0);
    assert_true(delete_in(self, "evil", "c", NULL, &st) != STATUS_OK);
    assert_int_equal(count_below(at(self, "precious")), 2);
}

static void make_deep(int parent)
{
    int fd = dup(parent);
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        assert_int_equal(symlinkat("/", fd, "root"), 0);
        int below = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = below;
    }
    close(fd);
}

static void test_deep_and_wide(void **state)
{
    fixture_t *self = *state;
    make_bundle(self, "a");
    int work = open(at(self, WORK "a"), O_RDONLY | O_DIRECTORY);
    int rootfs = open(at(self, TASK "a/rootfs"), O_RDONLY | O_DIRECTORY);
    make_deep(work);
    make_deep(rootfs);
    for (int i = 0; i < WIDE; i++) {
        char name[32];
        snprintf(name, sizeof name, "file-%d", i);
        close(openat(work, name, O_CREAT | O_WRONLY, 0600));
    }
    close(work);
    close(rootfs);
    assert_false(is_quick(self, "a"));
    struct rlimit before, few = {.rlim_cur = FDS_FOR_DEEP};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    expect_deleted(self, "a");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_what_is_quick(void **state)
{
    fixture_t *self = *state;
    make_bundle(self, "a");
    assert_true(is_quick(self, "a"));
    make_file(at(self, WORK "a/file"), "");
    assert_false(is_quick(self, "a"));
    unlink(at(self, WORK "a/file"));
    make_file(at(self, TASK "a/rootfs/file"), "");
    assert_false(is_quick(self, "a"));
    unlink(at(self, TASK "a/rootfs/file"));
    make_dir(at(self, TASK "a/dir"));
    assert_false(is_quick(self, "a"));
    rmdir(at(self, TASK "a/dir"));
    assert_true(is_quick(self, "a"));
    rmdir(at(self, TASK "a/rootfs"));
    rmdir(at(self, WORK "a"));
    assert_true(is_quick(self, "a"));
    for (int i = 0; i < BUNDLE_REMOVE_QUICK_ENTRIES; i++)
        make_file(at(self, TASK "a/%d", i), "");
    assert_false(is_quick(self, "a"));
}

/* Two processes delete the same bundle: one of them has, neither fails, nothing is left. */
static void test_race(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < RACES; i++) {
        make_bundle(self, "a");
        for (int j = 0; j < 20; j++)
            make_dir(at(self, WORK "a/%d", j));
        pid_t child = fork();
        status_t st;
        status_code_t code = delete_bundle(self, "a", INC1, &st);
        if (child == 0)
            _exit((int)code);
        int ended;
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(WIFEXITED(ended));
        assert_int_equal(code + (unsigned)WEXITSTATUS(ended), STATUS_OK + STATUS_NOT_FOUND);
        assert_int_equal(count_below(at(self, "run")) + count_below(at(self, "root")), 2 + 2);
    }
}

/* With mounts ------------------------------------------------------------------------------------
 */

static void test_unmount_all(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    make_bundle(self, "a");
    const char *rootfs = at(self, TASK "a/rootfs");
    mount_bind(at(self, "precious"), rootfs);
    mount_tmpfs(rootfs, "size=64k"); /* hides the bind mount */
    make_dir(at(self, TASK "a/rootfs/x"));
    mount_tmpfs(at(self, TASK "a/rootfs/x"), "size=64k");
    make_dir(at(self, TASK "a/rootfs/x/with space\nand\\more"));
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs/x/with space\nand\\more"));
    mount_bind(at(self, "precious/file"), at(self, TASK "a/config.json"));
    mount_tmpfs(at(self, WORK "a"), "size=64k");
    assert_false(is_quick(self, "a"));
    expect_deleted(self, "a");
}

/* A mount below one that was mounted over later can only be reached once that is gone. */
static void test_hidden_mounts(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    make_bundle(self, "a");
    mount_tmpfs(at(self, TASK "a/rootfs"), "size=64k");
    make_dir(at(self, TASK "a/rootfs/x"));
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs/x"));
    mount_tmpfs(at(self, TASK "a/rootfs"), "size=64k");
    expect_deleted(self, "a");
}

static void test_neighbours_keep_mounts(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_bundle(self, "ab");
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs"));
    mount_bind(at(self, "precious"), at(self, TASK "ab/rootfs"));
    assert_int_equal(delete_bundle(self, "a", INC1, &st), STATUS_OK);
    assert_int_equal(count_mounts(self), 1);
    expect_file(at(self, TASK "ab/rootfs/file"), "precious");
    expect_deleted(self, "ab");
}

/* The id is free at once; nothing is removed, not even next to what is busy. */
static void test_busy(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_file(at(self, WORK "a/file"), "kept");
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs"));
    int held = open(at(self, TASK "a/rootfs/file"), O_RDONLY);
    size_t before = count_below(at(self, "run"));
    assert_int_equal(delete_bundle(self, "a", INC1, &st), STATUS_FAILED_PRECONDITION);
    char want[STATUS_TEXT_SIZE];
    snprintf(want, sizeof want, "unmount %s: Device or resource busy",
             at(self, TASK "%s/rootfs", hidden));
    assert_string_equal(st.text, want);
    assert_false(is_listed(self, "a"));
    assert_int_equal(count_below(at(self, "run")), before);
    expect_file(at(self, WORK "%s/file", hidden), "kept");
    expect_file(at(self, TASK "%s/rootfs/file", hidden), "precious");
    /* The next of that name is nobody's business of the old one. */
    make_bundle(self, "a");
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs"));
    assert_int_equal(bundle_remove_hidden(self->store, NS, hidden, &st),
                     STATUS_FAILED_PRECONDITION);
    close(held);
    assert_int_equal(bundle_remove_hidden(self->store, NS, hidden, &st), STATUS_OK);
    assert_int_equal(bundle_remove_hidden(self->store, NS, hidden, &st), STATUS_OK);
    assert_int_equal(count_mounts(self), 1);
    expect_deleted(self, "a");
}

/* The kernel renames no mount point, so that the id stays taken as long as it is busy; what was
 * hidden before it came out is put back. */
static void test_busy_itself(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    static const char *const tops[] = {TASK "a", WORK "a"};
    status_t st;
    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        make_bundle(self, "a");
        mount_bind(at(self, "precious"), at(self, "%s", tops[i]));
        int held = open(at(self, "%s/file", tops[i]), O_RDONLY);
        size_t before = count_below(at(self, "run")) + count_below(at(self, "root"));
        assert_int_equal(delete_bundle(self, "a", NULL, &st), STATUS_FAILED_PRECONDITION);
        char want[STATUS_TEXT_SIZE];
        snprintf(want, sizeof want, "delete bundle a: unmount %s: Device or resource busy",
                 at(self, "%s", tops[i]));
        assert_string_equal(st.text, want);
        assert_true(is_listed(self, "a"));
        assert_int_equal(count_below(at(self, "run")) + count_below(at(self, "root")), before);
        expect_file(at(self, "%s/file", tops[i]), "precious");
        close(held);
        assert_int_equal(delete_bundle(self, "a", NULL, &st), STATUS_OK);
        assert_int_equal(count_below(at(self, TASK)) + count_below(at(self, WORK)), 0);
        assert_int_equal(count_mounts(self), 0);
    }
    expect_file(at(self, "precious/file"), "precious");
}

/* It is freed while the delete already tries. */
static void test_busy_for_a_moment(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    make_bundle(self, "a");
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs"));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t holder = fork();
    if (holder == 0) {
        int moved = chdir(at(self, TASK "a/rootfs"));
        ssize_t said = write(ready[1], "", 1);
        usleep(BUNDLE_MOUNTS_BUSY_MS / 4 * 1000);
        _exit(moved || said != 1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    expect_deleted(self, "a");
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    close(ready[0]);
    close(ready[1]);
}

/* What was mounted after the unmounting is not entered, not even when it is the same filesystem,
 * which a comparison of device numbers would not see. */
static void test_tree_stops_at_mounts(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_dir(at(self, TASK "a/other"));
    make_file(at(self, TASK "a/other/file"), "");
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs"));
    mount_bind(at(self, "precious/file"), at(self, TASK "a/log"));
    struct stat inside, outside;
    assert_int_equal(stat(at(self, TASK "a/rootfs"), &inside), 0);
    assert_int_equal(stat(at(self, TASK "a"), &outside), 0);
    assert_int_equal(inside.st_dev, outside.st_dev);
    int run = bundle_store_open_run(self->store, NS);
    int bundle = bundle_dir_open_inside(run, "a", O_RDONLY);
    assert_int_equal(bundle_dir_open_inside(bundle, "rootfs", O_RDONLY), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(bundle_dir_open_inside(bundle, "log", O_PATH), -1);
    assert_int_equal(errno, EXDEV);
    close(bundle);
    assert_int_equal(bundle_tree_remove(run, "a", &st), STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(st.text, "it is a mount point"));
    assert_int_equal(count_mounts(self), 2);
    assert_false(exists(at(self, TASK "a/other")));
    expect_file(at(self, "precious/file"), "precious");
    assert_int_equal(umount(at(self, TASK "a/rootfs")), 0);
    mount_bind(at(self, "precious"), at(self, TASK "a"));
    assert_int_equal(bundle_tree_remove(run, "a", &st), STATUS_FAILED_PRECONDITION);
    expect_file(at(self, "precious/file"), "precious");
    close(run);
}

/* On the way to the mount point a directory becomes a symlink to where another mount is. */
static void test_unmount_follows_no_symlink(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_dir(at(self, "victim"));
    make_dir(at(self, "victim/e"));
    make_dir(at(self, "victim/e/m"));
    mount_tmpfs(at(self, "victim/e/m"), "size=64k");
    make_dir(at(self, TASK "a/rootfs/d"));
    make_dir(at(self, TASK "a/rootfs/d/e"));
    make_dir(at(self, TASK "a/rootfs/d/e/m"));
    mount_tmpfs(at(self, TASK "a/rootfs/d/e/m"), "size=64k");
    /* Over-mounted with a tree in which the same path leads outside. */
    make_dir(at(self, "trap"));
    assert_int_equal(symlink(at(self, "victim"), at(self, "trap/d")), 0);
    mount_bind(at(self, "trap"), at(self, TASK "a/rootfs"));
    assert_int_equal(delete_bundle(self, "a", INC1, &st), STATUS_OK);
    assert_int_equal(count_mounts(self), 1);
    assert_int_equal(umount(at(self, "victim/e/m")), 0);
}

/* Sweep ------------------------------------------------------------------------------------------
 */

typedef struct found {
    zlistx_t *names;
    size_t count;
} found_t;

static void on_found(void *arg, const char *ns, const char *name)
{
    found_t *found = arg;
    assert_true(bundle_dir_is_hidden(name, BUNDLE_DIR_DEL));
    zlistx_add_end(found->names, util_format("%s %s", ns, name));
    found->count++;
}

/* How many left-overs there are; tells the ids in order, and removes them. */
static size_t sweep(const fixture_t *self, char ids[256])
{
    status_t st;
    found_t found = {.names = zlistx_new()};
    if (bundle_sweep_run(self->store, on_found, &found, &st))
        fail_msg("%s", st.text);
    zlistx_set_comparator(found.names, (zlistx_comparator_fn *)strcmp);
    zlistx_sort(found.names);
    ids[0] = '\0';
    for (char *text; (text = zlistx_detach(found.names, NULL));) {
        char id[BUNDLE_DIR_NAME_SIZE], *name = strchr(text, ' ');
        *name++ = '\0';
        bundle_dir_hidden_id(name, id);
        snprintf(ids + strlen(ids), 256 - strlen(ids), "%s/%s ", text, id);
        if (bundle_remove_hidden(self->store, text, name, &st))
            fail_msg("%s", st.text);
        free(text);
    }
    zlistx_destroy(&found.names);
    return found.count;
}

static void test_sweep(void **state)
{
    fixture_t *self = *state;
    char ids[256];
    assert_int_equal(sweep(self, ids), 0);
    make_bundle(self, "a");
    make_dir(at(self, TASK ".b.new-" INC1));
    make_dir(at(self, TASK ".b.new-" INC1 "/rootfs"));
    make_dir(at(self, TASK HIDDEN));
    make_dir(at(self, TASK ".other"));
    make_dir(at(self, TASK ".b.new-nonsense"));
    make_dir(at(self, WORK HIDDEN));
    make_dir(at(self, WORK "orphan"));
    make_file(at(self, WORK "orphan/file"), "");
    make_dir(at(self, WORK "no identifier"));
    make_dir(at(self, "run/task/gone"));
    make_dir(at(self, "root/task/gone"));
    make_dir(at(self, "root/task/work-only"));
    make_dir(at(self, "root/task/work-only/x"));
    assert_int_equal(sweep(self, ids), 5);
    assert_string_equal(ids, NS "/a " NS "/a " NS "/b " NS "/orphan work-only/x ");
    assert_false(exists(at(self, "run/task/gone")));
    assert_false(exists(at(self, "root/task/gone")));
    assert_int_equal(count_below(at(self, TASK)), 6 + 2);
    assert_int_equal(count_below(at(self, WORK)), 2);
    assert_int_equal(count_below(at(self, "root/task/work-only")), 0);
    assert_true(is_listed(self, "a"));
    assert_int_equal(sweep(self, ids), 0);
    assert_false(exists(at(self, "root/task/work-only")));
}

static void test_hidden_ids(void **state)
{
    (void)state;
    char name[BUNDLE_DIR_NAME_SIZE], id[BUNDLE_DIR_NAME_SIZE];
    static const char *const ids[] = {"a", ("a.del-" INC1), "x-y_z.0"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        bundle_dir_fresh_name(name, ids[i]);
        bundle_dir_hidden_id(name, id);
        assert_string_equal(id, ids[i]);
        bundle_dir_hidden_name(name, ids[i], BUNDLE_DIR_NEW, INC2);
        bundle_dir_hidden_id(name, id);
        assert_string_equal(id, ids[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_delete),
        TEST(test_incarnations),
        TEST(test_bad_names),
        TEST(test_symlinks),
        TEST(test_deep_and_wide),
        TEST(test_what_is_quick),
        TEST(test_race),
        TEST(test_unmount_all),
        TEST(test_hidden_mounts),
        TEST(test_neighbours_keep_mounts),
        TEST(test_busy),
        TEST(test_busy_itself),
        TEST(test_busy_for_a_moment),
        TEST(test_tree_stops_at_mounts),
        TEST(test_unmount_follows_no_symlink),
        TEST(test_sweep),
        TEST(test_hidden_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
