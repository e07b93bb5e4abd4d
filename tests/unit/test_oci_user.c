/* Tests of client/oci: users and groups by the accounts in a hostile root filesystem. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/oci/oci_file.h"
#include "client/oci/oci_user.h"
#include "common/util.h"
#include "oci_fixture.h"

static json_t *user_of(const char *user, status_t *st)
{
    *st = (status_t){0};
    return oci_user_new(oci_fixture_root, user, st);
}

static void test_users(void **state)
{
    (void)state;
    static const struct {
        const char *user;
        const char *expected;
    } good[] = {
        {"0", "{\"additionalGids\":[0,4],\"gid\":0,\"uid\":0}"},
        {"root", "{\"additionalGids\":[0,4],\"gid\":0,\"uid\":0}"},
        {"web", "{\"additionalGids\":[43,4,44],\"gid\":43,\"uid\":33}"},
        {"33", "{\"additionalGids\":[43,4,44],\"gid\":43,\"uid\":33}"},
        /* The group of one's own name counts only where passwd says so. */
        {"own", "{\"additionalGids\":[51],\"gid\":51,\"uid\":50}"},
        {"34", "{\"additionalGids\":[0],\"gid\":0,\"uid\":34}"},
        {"2147483647", "{\"additionalGids\":[0],\"gid\":0,\"uid\":2147483647}"},
        {"web:adm", "{\"additionalGids\":[4],\"gid\":4,\"uid\":33}"},
        {"web:5", "{\"additionalGids\":[5],\"gid\":5,\"uid\":33}"},
        {"6:video", "{\"additionalGids\":[44],\"gid\":44,\"uid\":6}"},
        {"6:7", "{\"additionalGids\":[7],\"gid\":7,\"uid\":6}"},
        /* All digits is a number even where it is somebody's name. */
        {"101", "{\"additionalGids\":[0],\"gid\":0,\"uid\":101}"},
        {"101:43", "{\"additionalGids\":[43],\"gid\":43,\"uid\":101}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        status_t st;
        json_auto_t *user = user_of(good[i].user, &st);
        if (!user)
            fail_msg("%s", st.text);
        oci_fixture_json(user, good[i].expected);
    }
}

static void test_users_refused(void **state)
{
    (void)state;
    static const struct {
        const char *user;
        const char *part;
    } bad[] = {
        {"bob", "no user 'bob' in /etc/passwd of the container"},
        {"web:bob", "no group 'bob' in /etc/group of the container"},
        {"web2", "no user"},
        {"# web2", "no user"},
        {"many", "number in /etc/passwd 'lots' is not a number"},
        {"huge", "'4294967296' is not a number of 0 to 2147483647"},
        {"short", "'' is not a number"},
        {"web:odd", "'minus' is not a number"},
        {"2147483648", "not a number of 0 to 2147483647"},
        {"1:2147483648", "the group"},
        {"-1", "no user '-1'"},
        {"", "must look like USER or USER:GROUP"},
        {":", "must look like"},
        {"web:", "must look like"},
        {":adm", "must look like"},
        {"a:b:c", "must look like"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        status_t st;
        json_auto_t *user = user_of(bad[i].user, &st);
        assert_null(user);
        assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
        oci_fixture_contains(st.text, "--user");
        oci_fixture_contains(st.text, bad[i].part);
    }
    AUTO_FREE char *longest = oci_fixture_filled('u', 1025);
    status_t st;
    assert_null(user_of(longest, &st));
    oci_fixture_contains(st.text, "1025 bytes long, limit 1024");
}

static void test_root_without_accounts(void **state)
{
    (void)state;
    status_t st;
    assert_int_equal(unlink(oci_fixture_at("root/etc/passwd")), 0);
    assert_int_equal(unlink(oci_fixture_at("root/etc/group")), 0);
    json_auto_t *number = user_of("33", &st);
    oci_fixture_json(number, "{\"additionalGids\":[0],\"gid\":0,\"uid\":33}");
    assert_null(user_of("root", &st));
    oci_fixture_contains(st.text, "no user 'root'");
    assert_null(user_of("0:root", &st));
    oci_fixture_contains(st.text, "no group 'root'");

    /* Without a look-up no root is needed, with one it must be absolute. */
    json_auto_t *pair = oci_user_new(NULL, "1:2", &st);
    oci_fixture_json(pair, "{\"additionalGids\":[2],\"gid\":2,\"uid\":1}");
    assert_null(oci_user_new("rootfs", "web", &st));
    oci_fixture_contains(st.text, "not absolute");
}

/* The container's files are hostile: a link in them must not show the host's. */
static void test_links_stay_inside(void **state)
{
    (void)state;
    status_t st;
    assert_int_equal(mkdir(oci_fixture_at("root/secret"), 0700), 0);
    oci_fixture_write(oci_fixture_at("outside"), "spy:x:66:66::/:/bin/sh\n");
    oci_fixture_write(oci_fixture_at("root/secret/passwd"), "inner:x:77:78::/:/bin/sh\n");

    assert_int_equal(unlink(oci_fixture_at("root/etc/passwd")), 0);
    assert_int_equal(symlink(oci_fixture_at("outside"), oci_fixture_at("root/etc/passwd")), 0);
    assert_null(user_of("spy", &st));
    oci_fixture_contains(st.text, "no user 'spy'");

    assert_int_equal(unlink(oci_fixture_at("root/etc/passwd")), 0);
    assert_int_equal(symlink("../../../../../../outside", oci_fixture_at("root/etc/passwd")), 0);
    assert_null(user_of("spy", &st));

    /* An absolute link means the container's own file of that name. */
    assert_int_equal(unlink(oci_fixture_at("root/etc/passwd")), 0);
    assert_int_equal(symlink("/secret/passwd", oci_fixture_at("root/etc/passwd")), 0);
    json_auto_t *user = user_of("inner", &st);
    oci_fixture_json(user, "{\"additionalGids\":[78],\"gid\":78,\"uid\":77}");

    /* A whole /etc that is a link. */
    assert_int_equal(rename(oci_fixture_at("root/etc"), oci_fixture_at("etc")), 0);
    assert_int_equal(symlink(oci_fixture_at("etc"), oci_fixture_at("root/etc")), 0);
    assert_null(user_of("inner", &st));

    assert_int_equal(unlink(oci_fixture_at("root/etc")), 0);
    assert_int_equal(mkdir(oci_fixture_at("root/etc"), 0700), 0);
    assert_int_equal(symlink("passwd", oci_fixture_at("root/etc/passwd")), 0);
    assert_null(user_of("web", &st));
    oci_fixture_contains(st.text, "--user: /etc/passwd in ");
    oci_fixture_contains(st.text, strerror(ELOOP));
}

static void test_accounts_that_are_no_files(void **state)
{
    (void)state;
    status_t st;
    assert_int_equal(unlink(oci_fixture_at("root/etc/passwd")), 0);
    assert_int_equal(mkfifo(oci_fixture_at("root/etc/passwd"), 0600), 0);
    assert_null(user_of("web", &st));
    oci_fixture_contains(st.text, "not a regular file");

    assert_int_equal(unlink(oci_fixture_at("root/etc/passwd")), 0);
    assert_int_equal(mkdir(oci_fixture_at("root/etc/passwd"), 0700), 0);
    assert_null(user_of("web", &st));
    oci_fixture_contains(st.text, "not a regular file");

    assert_int_equal(rmdir(oci_fixture_at("root/etc/passwd")), 0);
    oci_fixture_write_bytes(oci_fixture_at("root/etc/passwd"), "web:x:1:1\0:", 11);
    assert_null(user_of("web", &st));
    oci_fixture_contains(st.text, "NUL byte");

    oci_fixture_write(oci_fixture_at("root/etc/passwd"), "");
    assert_int_equal(truncate(oci_fixture_at("root/etc/passwd"), OCI_FILE_ACCOUNTS_MAX + 1), 0);
    assert_null(user_of("web", &st));
    oci_fixture_contains(st.text, "longer than 4194304 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_users),
        ROW(test_users_refused),
        ROW(test_root_without_accounts),
        ROW(test_links_stay_inside),
        ROW(test_accounts_that_are_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
