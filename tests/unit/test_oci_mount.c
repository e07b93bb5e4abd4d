/* Tests of client/oci: mounts, devices and the numbers and texts of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/oci/oci_device.h"
#include "client/oci/oci_mount.h"
#include "client/oci/oci_text.h"
#include "common/util.h"
#include "oci_fixture.h"

static void test_mount_limits(void **state)
{
    (void)state;
    status_t st = {0};
    AUTO_FREE char *options = oci_fixture_filled(':', 129);
    for (size_t i = 0; i < 129; i += 2)
        options[i] = 'o';
    AUTO_FREE char *text = util_format("type=tmpfs,dst=/x,options=%s", options);
    assert_null(oci_mount_parse(text, &st));
    oci_fixture_contains(st.text, "more than 64 options");
    text[strlen(text) - 2] = '\0';
    json_auto_t *mount = oci_mount_parse(text, &st);
    assert_int_equal(json_array_size(json_object_get(mount, "options")), 64);

    AUTO_FREE char *path = oci_fixture_filled('p', 4095);
    AUTO_FREE char *longest = util_format("type=tmpfs,dst=/%s", path);
    assert_null(oci_mount_parse(longest, &st));
    oci_fixture_contains(st.text, "longer than 4095 bytes");
    AUTO_FREE char *huge = oci_fixture_filled('p', OCI_MOUNT_SIZE_MAX + 1);
    assert_null(oci_mount_parse(huge, &st));
    oci_fixture_contains(st.text, "16385 bytes long, limit 16384");
}

static void test_mount_quotes(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"", "\"type=tmpfs\"x,dst=/x", "type=\"tmpfs\",dst=/x",
                                      "\"type=tmpfs,dst=/x", "\"\"\""};
    status_t st = {0};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_null(oci_mount_parse(bad[i], &st));
        oci_fixture_contains(st.text, "a double quote is out of place");
    }
    json_auto_t *mount = oci_mount_parse("\"dst=/a,\"\"b\",\"type=tmpfs\"", &st);
    oci_fixture_json(mount, "{\"destination\":\"/a,\\\"b\",\"type\":\"tmpfs\"}");
    assert_null(oci_mount_parse("type=tmpfs,dst=/x,\"\"", &st));
    oci_fixture_contains(st.text, "NAME=VALUE");
}

static void test_device_depth(void **state)
{
    (void)state;
    status_t st = {0};
    json_auto_t *devices = json_array();
    char path[512];
    int size = snprintf(path, sizeof path, "%s/deep", oci_fixture_home);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < OCI_DEVICE_DEPTH_MAX; i++) {
        size += snprintf(path + size, sizeof path - (size_t)size, "/d");
        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_int_equal(oci_device_add("--device", oci_fixture_at("deep"), devices, NULL, &st),
                     STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, "more than 16 levels deep");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(oci_device_add("--device", oci_fixture_at("deep"), devices, NULL, &st),
                     STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, "no device in this directory");
    assert_int_equal(oci_device_add("--device", "null", devices, NULL, &st),
                     STATUS_INVALID_ARGUMENT);
    oci_fixture_contains(st.text, "--device null: not an absolute path");
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t number = 0;
    assert_int_equal(oci_text_to_number("18446744073709551615", UINT64_MAX, &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(oci_text_to_number("18446744073709551616", UINT64_MAX, &number), -1);
    assert_int_equal(oci_text_to_number("00", 0, &number), 0);
    assert_int_equal(oci_text_to_number("1", 0, &number), -1);
    assert_int_equal(oci_text_to_number("20", 19, &number), -1);
    assert_int_equal(oci_text_to_number("", 9, &number), -1);
    assert_int_equal(oci_text_to_number("+1", 9, &number), -1);
    assert_int_equal(oci_text_to_number("1 ", 9, &number), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_mount_limits),
        ROW(test_mount_quotes),
        ROW(test_device_depth),
        ROW(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
