/* Making, finding, listing and setting aside bundles. */
#include "tests/unit/bundle_fixture.h"

#include "workers/bundle/bundle_aside.h"
#include "workers/bundle/bundle_create.h"
#include "workers/bundle/bundle_list.h"
#include "workers/bundle/bundle_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define TASK  "run/task/" NS "/"
#define WORK  "root/task/" NS "/"
#define GROUP 12345
#define MAPPED(c)                                                                                  \
    "{\"linux\":{\"gidMappings\":[{\"containerID\":" c ",\"hostID\":12345,\"size\":9}]}}"

static status_code_t create_as(const fixture_t *self, const char *ns, const char *id,
                               const char *incarnation, const char *spec, status_t *st)
{
    bool left_over;
    return bundle_create_run(self->store, ns, id, incarnation, spec, strlen(spec), &left_over, st);
}

static status_code_t create(const fixture_t *self, const char *id, const char *incarnation,
                            status_t *st)
{
    return create_as(self, NS, id, incarnation, SPEC, st);
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode;
}

static msg_bundles_t list(const fixture_t *self)
{
    msg_bundles_t bundles;
    status_t st;
    if (bundle_list(self->store, &(msg_bundle_list_t){0}, self->zone, &bundles, &st))
        fail_msg("%s", st.text);
    return bundles;
}

static msg_bundle_t find(const fixture_t *self, const char *id)
{
    msg_bundle_t bundle;
    status_t st;
    if (bundle_store_find(self->store, NS, id, self->zone, &bundle, &st))
        fail_msg("%s", st.text);
    return bundle;
}

/* Create -----------------------------------------------------------------------------------------
 */

static void test_layout(void **state)
{
    fixture_t *self = *state;
    mode_t mask = umask(077); /* modes must not depend on it */
    make_bundle(self, "a");
    umask(mask);
    assert_int_equal(mode_of(at(self, "run/task")), S_IFDIR | 0711);
    assert_int_equal(mode_of(at(self, "run/task/" NS)), S_IFDIR | 0711);
    assert_int_equal(mode_of(at(self, "root/task/" NS)), S_IFDIR | 0711);
    assert_int_equal(mode_of(at(self, TASK "a")), S_IFDIR | 0700);
    assert_int_equal(mode_of(at(self, TASK "a/rootfs")), S_IFDIR | 0711);
    assert_int_equal(mode_of(at(self, TASK "a/log")), S_IFIFO | 0700);
    assert_int_equal(mode_of(at(self, TASK "a/config.json")), S_IFREG | 0644);
    assert_int_equal(mode_of(at(self, WORK "a")), S_IFDIR | 0711);
    expect_file(at(self, TASK "a/config.json"), SPEC);
    expect_file(at(self, TASK "a/incarnation"), INC1 "\n");
    char target[PATH_MAX] = "";
    assert_true(readlink(at(self, TASK "a/work"), target, sizeof target - 1) > 0);
    assert_string_equal(target, at(self, WORK "a"));
    assert_int_equal(count_below(at(self, TASK "a")), 5);

    msg_bundle_t bundle = find(self, "a");
    assert_string_equal(bundle.path, at(self, TASK "a"));
    assert_string_equal(bundle.work, at(self, WORK "a"));
    assert_string_equal(bundle.incarnation, INC1);
    assert_false(bundle.empty);
}

static void test_mapped_group(void **state)
{
    fixture_t *self = *state;
    status_t st;
    if (geteuid() != 0)
        skip();
    assert_int_equal(create_as(self, NS, "a", INC1, MAPPED("0"), &st), STATUS_OK);
    struct stat info;
    assert_int_equal(stat(at(self, TASK "a"), &info), 0);
    assert_int_equal(info.st_mode, S_IFDIR | 0710);
    assert_int_equal(info.st_gid, GROUP);
    assert_int_equal(info.st_uid, geteuid());
    assert_int_equal(create_as(self, NS, "b", INC1, MAPPED("1"), &st), STATUS_OK);
    assert_int_equal(stat(at(self, TASK "b"), &info), 0);
    assert_int_equal(info.st_mode, S_IFDIR | 0700);
    assert_int_equal(info.st_gid, getegid());
}

static void test_specs(void **state)
{
    fixture_t *self = *state;
    static const char *const bad[] = {
        "",
        "[]",
        "1",
        "{",
        "{\"linux\":",
        "\xff\xfe",
        "{} {}",
        "{\"linux\":{\"gidMappings\":[{\"containerID\":0,\"hostID\":4294967295,\"size\":1}]}}",
        "{\"linux\":{\"gidMappings\":[{\"containerID\":0,\"hostID\":-1,\"size\":1}]}}"};
    static const char *const good[] = {
        "{}", "{\"linux\":7}",
        "{\"process\":{\"rlimits\":[{\"hard\":18446744073709551615}]},\"linux\":{}}",
        "{\"annotations\":{\"nul\":\"\\u0000\"}}"};
    status_t st;
    gid_t group;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(create_as(self, NS, "a", INC1, bad[i], &st), STATUS_INVALID_ARGUMENT);
        assert_int_equal(count_below(at(self, "run")) + count_below(at(self, "root")), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(bundle_create_mapped_group(good[i], strlen(good[i]), &group, &st),
                         STATUS_OK);
}

static void test_bad_names(void **state)
{
    fixture_t *self = *state;
    char long_name[77 + 1];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const char *const bad[] = {"", ".", "..", "../x", "a/b", ".a", "a\n", "-a", "a b", long_name};
    status_t st;
    msg_bundle_t bundle;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(create_as(self, NS, bad[i], INC1, SPEC, &st), STATUS_INVALID_ARGUMENT);
        assert_int_equal(create_as(self, bad[i], "a", INC1, SPEC, &st), STATUS_INVALID_ARGUMENT);
        assert_int_equal(bundle_store_find(self->store, NS, bad[i], self->zone, &bundle, &st),
                         STATUS_INVALID_ARGUMENT);
    }
    assert_int_equal(create(self, "a", "1111", &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(create(self, "a", "../../../../../../../../../../../../", &st),
                     STATUS_INVALID_ARGUMENT);
    assert_int_equal(count_below(at(self, "run")) + count_below(at(self, "root")), 0);
}

static void test_same_again(void **state)
{
    fixture_t *self = *state;
    status_t st;
    struct stat before, after;
    make_bundle(self, "a");
    make_file(at(self, WORK "a/file"), "kept");
    assert_int_equal(stat(at(self, TASK "a"), &before), 0);
    assert_int_equal(create(self, "a", INC1, &st), STATUS_OK);
    assert_int_equal(create(self, "a", INC2, &st), STATUS_ALREADY_EXISTS);
    assert_string_equal(st.text, "bundle a: already exists");
    assert_int_equal(stat(at(self, TASK "a"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    expect_file(at(self, WORK "a/file"), "kept");
    assert_int_equal(count_below(at(self, "run")), 2 + 6);
    assert_int_equal(count_below(at(self, "root")), 2 + 2);
}

static void test_name_is_taken(void **state)
{
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "other");
    make_file(at(self, TASK "a"), "");
    assert_int_equal(create(self, "a", INC1, &st), STATUS_FAILED_PRECONDITION);
    assert_int_equal(symlink(at(self, "precious"), at(self, TASK "b")), 0);
    assert_int_equal(create(self, "b", INC1, &st), STATUS_FAILED_PRECONDITION);
    make_dir(at(self, TASK "c"));
    assert_int_equal(create(self, "c", INC1, &st), STATUS_ALREADY_EXISTS);
    assert_false(exists(at(self, WORK "a")));
    assert_int_equal(count_below(at(self, "precious")), 1);
}

static void test_stale_work(void **state)
{
    fixture_t *self = *state;
    status_t st;
    bool left_over;
    make_bundle(self, "other");
    make_dir(at(self, WORK "empty"));
    make_dir(at(self, WORK "full"));
    make_file(at(self, WORK "full/file"), "stale");
    make_file(at(self, WORK "file"), "stale");
    assert_int_equal(symlink(at(self, "precious"), at(self, WORK "link")), 0);
    const char *const ids[] = {"empty", "full", "file", "link"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        bundle_create_run(self->store, NS, ids[i], INC1, "{}", 2, &left_over, &st);
        assert_int_equal(st.code, STATUS_OK);
        assert_int_equal(left_over, i > 0);
        assert_int_equal(mode_of(at(self, WORK "%s", ids[i])), S_IFDIR | 0711);
        assert_int_equal(count_below(at(self, WORK "%s", ids[i])), 0);
    }
    expect_file(at(self, "precious/file"), "precious");
}

static void test_half_made(void **state)
{
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "other");
    make_dir(at(self, TASK ".a.new-" INC1));
    make_file(at(self, TASK ".a.new-" INC1 "/config.json"), "half");
    make_dir(at(self, WORK "a"));
    assert_int_equal(list(self).bundles.count, 1);
    assert_int_equal(create(self, "a", INC1, &st), STATUS_OK);
    assert_false(exists(at(self, TASK ".a.new-" INC1)));
    expect_file(at(self, TASK "a/config.json"), SPEC);
}

/* With ever more inodes, the filesystem is full at each step of a create in turn. */
static void full_disk(fixture_t *self, const char *where)
{
    status_t st;
    size_t failures = 0;
    for (unsigned inodes = 1; inodes < 20; inodes++) {
        char options[64];
        snprintf(options, sizeof options, "size=64k,nr_inodes=%u", inodes);
        bundle_store_destroy(&self->store);
        mount_tmpfs(at(self, "%s", where), options);
        self->store = bundle_store_new(at(self, "run"), at(self, "root"), &st);
        assert_non_null(self->store);
        status_code_t code = create(self, "a", INC1, &st);
        if (code) {
            assert_int_equal(code, STATUS_RESOURCE_EXHAUSTED);
            assert_non_null(strstr(st.text, "No space left on device"));
            assert_int_equal(count_below(at(self, "run")) + count_below(at(self, "root")), 0);
            failures++;
        } else {
            assert_string_equal(find(self, "a").incarnation, INC1);
        }
        bundle_store_destroy(&self->store);
        assert_int_equal(umount(at(self, "%s", where)), 0);
        self->store = bundle_store_new(at(self, "run"), at(self, "root"), &st);
        bundle_tree_remove(bundle_store_run_fd(self->store), "task", &st);
        bundle_tree_remove(bundle_store_root_fd(self->store), "task", &st);
    }
    assert_in_range(failures, 3, 15);
}

static void test_full_run_directory(void **state)
{
    NEED_MOUNTS();
    full_disk(*state, "run");
}

static void test_full_root_directory(void **state)
{
    NEED_MOUNTS();
    full_disk(*state, "root");
}

static void test_spec_does_not_fit(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    status_t st;
    bool left_over;
    const size_t size = 128 << 10;
    char *spec = malloc(size + 1);
    snprintf(spec, size + 1, "{%*s}", (int)size - 2, "");
    bundle_store_destroy(&self->store);
    mount_tmpfs(at(self, "run"), "size=64k");
    self->store = bundle_store_new(at(self, "run"), at(self, "root"), &st);
    bundle_create_run(self->store, NS, "a", INC1, spec, size, &left_over, &st);
    assert_int_equal(st.code, STATUS_RESOURCE_EXHAUSTED);
    AUTO_FREE char *want = util_format("make bundle %s: write config.json: No space left on device",
                                       at(self, TASK "a"));
    assert_string_equal(st.text, want);
    assert_int_equal(count_below(at(self, "run")) + count_below(at(self, "root")), 0);
    make_bundle(self, "a");
    free(spec);
}

/* A namespace that others use stays when a create in it fails. */
static void test_undo_spares_others(void **state)
{
    fixture_t *self = *state;
    status_t st;
    if (geteuid() != 0)
        skip();
    make_bundle(self, "other");
    make_dir(at(self, WORK "a"));
    NEED_MOUNTS();
    mount_tmpfs(at(self, WORK "a"), "size=64k"); /* a stale work directory that cannot be moved */
    assert_int_equal(create(self, "a", INC1, &st), STATUS_FAILED_PRECONDITION);
    assert_int_equal(count_below(at(self, TASK)), 6);
    assert_true(exists(at(self, WORK "other")));
    assert_int_equal(umount(at(self, WORK "a")), 0);
}

/* Find and list ----------------------------------------------------------------------------------
 */

static void damage(const fixture_t *self, int kind)
{
    const char *config = at(self, TASK "a/config.json");
    const char *incarnation = at(self, TASK "a/incarnation");
    static const char *const garbled[] = {
        "", "\n", INC1, INC1 "\nx", "x" INC1 "\n", "zzzzzzzz-2222-4333-8444-555555555555\n"};
    unlink(kind < 5 ? config : incarnation);
    if (kind == 1)
        mkfifo(config, 0600);
    if (kind == 2)
        make_dir(config);
    if (kind == 3)
        assert_int_equal(symlink(at(self, "precious/file"), config), 0);
    if (kind == 4)
        make_file(config, "");
    if (kind == 6)
        mkfifo(incarnation, 0600);
    if (kind == 7) {
        make_file(at(self, "uuid"), INC1 "\n");
        assert_int_equal(symlink(at(self, "uuid"), incarnation), 0);
    }
    if (kind == 8)
        make_dir(incarnation);
    if (kind >= 9)
        make_file(incarnation, garbled[kind - 9]);
}

#define DAMAGES 15

static void test_damaged(void **state)
{
    fixture_t *self = *state;
    status_t st;
    for (int kind = 0; kind < DAMAGES; kind++) {
        make_bundle(self, "a");
        assert_non_null(find(self, "a").incarnation);
        damage(self, kind);
        msg_bundles_t bundles = list(self);
        assert_int_equal(bundles.bundles.count, 1);
        assert_string_equal(bundles.bundles.items[0].id, "a");
        assert_null(bundles.bundles.items[0].incarnation);
        assert_false(bundles.bundles.items[0].empty);
        assert_null(find(self, "a").incarnation);
        bundle_tree_remove(bundle_store_run_fd(self->store), "task", &st);
        unlink(at(self, "uuid"));
    }
}

static void test_empty(void **state)
{
    fixture_t *self = *state;
    make_bundle(self, "other");
    make_dir(at(self, TASK "a"));
    assert_true(find(self, "a").empty);
    assert_null(find(self, "a").incarnation);
    assert_false(find(self, "other").empty);
    make_file(at(self, TASK "a/.hidden"), "");
    assert_false(find(self, "a").empty);
}

static void test_list(void **state)
{
    fixture_t *self = *state;
    status_t st;
    assert_int_equal(list(self).bundles.count, 0);
    assert_int_equal(create_as(self, "z", "b", INC1, SPEC, &st), STATUS_OK);
    assert_int_equal(create_as(self, "z", "a", INC2, SPEC, &st), STATUS_OK);
    make_bundle(self, "c");
    make_dir(at(self, TASK "no identifier"));
    make_dir(at(self, TASK "a:b"));
    make_dir(at(self, TASK ".a.new-" INC1));
    make_dir(at(self, TASK ".a.del-" INC1));
    make_dir(at(self, TASK ".other"));
    make_file(at(self, TASK "file"), "");
    assert_int_equal(symlink(at(self, TASK "c"), at(self, TASK "link")), 0);
    make_dir(at(self, "run/task/.ns"));
    make_file(at(self, "run/task/file"), "");
    assert_int_equal(symlink(at(self, "run/task/z"), at(self, "run/task/y")), 0);
    msg_bundles_t bundles = list(self);
    const char *const want[][2] = {{NS, "a:b"}, {NS, "c"}, {"z", "a"}, {"z", "b"}};
    assert_int_equal(bundles.bundles.count, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(bundles.bundles.items[i].ns, want[i][0]);
        assert_string_equal(bundles.bundles.items[i].id, want[i][1]);
    }
    assert_string_equal(bundles.bundles.items[2].incarnation, INC2);
    msg_bundle_t bundle;
    assert_int_equal(bundle_store_find(self->store, NS, "none", self->zone, &bundle, &st),
                     STATUS_NOT_FOUND);
    assert_int_equal(bundle_store_find(self->store, "none", "c", self->zone, &bundle, &st),
                     STATUS_NOT_FOUND);
}

static void test_mounted_over(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    make_bundle(self, "a");
    make_bundle(self, "b");
    mount_tmpfs(at(self, TASK "a"), "size=64k");
    make_file(at(self, TASK "a/incarnation"), INC2 "\n");
    make_file(at(self, TASK "a/config.json"), "{}");
    mount_bind(at(self, "precious/file"), at(self, TASK "b/incarnation"));
    assert_null(find(self, "a").incarnation);
    assert_null(find(self, "b").incarnation);
    assert_int_equal(list(self).bundles.count, 2);
}

static void test_list_has_a_limit(void **state)
{
    fixture_t *self = *state;
    status_t st;
    msg_bundles_t bundles;
    make_bundle(self, "other");
    char name[NAME_MAX + 1];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 8000; i++) {
        int used = snprintf(name, sizeof name, "%d", i);
        name[used] = 'x';
        make_dir(at(self, TASK "%s", name));
    }
    assert_int_equal(bundle_list(self->store, &(msg_bundle_list_t){0}, self->zone, &bundles, &st),
                     STATUS_RESOURCE_EXHAUSTED);
}

/* Every bundle once, whatever goes and comes behind the page. */
static void test_list_in_pages(void **state)
{
    fixture_t *self = *state;
    status_t st;
    static const char *const want[][2] = {{NS, "a"}, {NS, "b"}, {NS, "c"}, {"z", "a"}};
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_int_equal(create_as(self, want[i][0], want[i][1], INC1, SPEC, &st), STATUS_OK);
    msg_bundle_list_t ask = {.limit = 2};
    msg_bundles_t page;
    size_t seen = 0, pages = 0;
    do {
        assert_int_equal(bundle_list(self->store, &ask, self->zone, &page, &st), STATUS_OK);
        assert_true(page.bundles.count <= ask.limit);
        for (size_t i = 0; i < page.bundles.count; i++, seen++) {
            assert_string_equal(page.bundles.items[i].ns, want[seen][0]);
            assert_string_equal(page.bundles.items[i].id, want[seen][1]);
        }
        ask.after = page.next;
        pages++;
    } while (page.next);
    assert_int_equal(seen, ARRAY_SIZE(want));
    assert_int_equal(pages, 2);
    ask.after = "nonsense";
    assert_int_equal(bundle_list(self->store, &ask, self->zone, &page, &st),
                     STATUS_INVALID_ARGUMENT);
}

/* Quarantine -------------------------------------------------------------------------------------
 */

static status_code_t set_aside(const fixture_t *self, const char *name, status_t *st)
{
    return bundle_aside_run(self->store, NS, name, "config.json is a haiku", st);
}

static void test_quarantine(void **state)
{
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_file(at(self, WORK "a/file"), "kept");
    assert_int_equal(set_aside(self, "a", &st), STATUS_OK);
    assert_false(exists(at(self, TASK "a")));
    assert_false(exists(at(self, WORK "a")));
    make_bundle(self, "a");
    msg_bundles_t bundles = list(self);
    assert_int_equal(bundles.bundles.count, 2);
    const msg_bundle_t *aside = &bundles.bundles.items[1];
    assert_null(bundles.bundles.items[0].quarantined);
    assert_string_equal(aside->quarantined, "config.json is a haiku");
    assert_memory_equal(aside->id, "a.", 2);
    assert_null(aside->incarnation);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/config.json", aside->path);
    expect_file(path, SPEC);
    expect_file(at(self, "root/quarantine/" NS "/%s/file", aside->id), "kept");
    assert_int_equal(set_aside(self, "none", &st), STATUS_NOT_FOUND);
    assert_int_equal(count_below(at(self, "run/quarantine")), 1 + 7);
}

static void test_quarantine_names(void **state)
{
    fixture_t *self = *state;
    status_t st;
    static const char *const bad[] = {"", ".", "..", "../" NS, ".a.del-" INC1, "a/rootfs"};
    make_bundle(self, "a");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(set_aside(self, bad[i], &st), STATUS_INVALID_ARGUMENT);
    make_file(at(self, TASK "some file"), "");
    assert_int_equal(set_aside(self, "some file", &st), STATUS_OK);
    assert_int_equal(symlink(at(self, "precious"), at(self, TASK "b")), 0);
    assert_int_equal(set_aside(self, "b", &st), STATUS_OK);
    assert_false(exists(at(self, TASK "b")));
    expect_file(at(self, "precious/file"), "precious");
}

/* The name of the bundle that is set aside. */
static const char *aside(const fixture_t *self)
{
    msg_bundles_t bundles = list(self);
    for (size_t i = 0; i < bundles.bundles.count; i++)
        if (bundles.bundles.items[i].quarantined)
            return bundles.bundles.items[i].id;
    return "none";
}

static void test_quarantine_keeps_mounts(void **state)
{
    NEED_MOUNTS();
    fixture_t *self = *state;
    status_t st;
    make_bundle(self, "a");
    make_bundle(self, "b");
    mount_bind(at(self, "precious"), at(self, TASK "a/rootfs"));
    mount_tmpfs(at(self, TASK "b"), "size=64k");
    size_t mounts = count_mounts(self);
    assert_int_equal(set_aside(self, "a", &st), STATUS_OK);
    assert_int_equal(set_aside(self, "b", &st), STATUS_FAILED_PRECONDITION);
    assert_true(exists(at(self, TASK "b")));
    assert_int_equal(count_mounts(self), mounts);
    expect_file(at(self, "run/quarantine/" NS "/%s/rootfs/file", aside(self)), "precious");
    assert_int_equal(list(self).bundles.count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_layout),
        TEST(test_mapped_group),
        TEST(test_specs),
        TEST(test_bad_names),
        TEST(test_same_again),
        TEST(test_name_is_taken),
        TEST(test_stale_work),
        TEST(test_half_made),
        TEST(test_full_run_directory),
        TEST(test_full_root_directory),
        TEST(test_spec_does_not_fit),
        TEST(test_undo_spares_others),
        TEST(test_damaged),
        TEST(test_empty),
        TEST(test_list),
        TEST(test_mounted_over),
        TEST(test_list_has_a_limit),
        TEST(test_list_in_pages),
        TEST(test_quarantine),
        TEST(test_quarantine_names),
        TEST(test_quarantine_keeps_mounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
