/* What the tests of client/oci share: a directory with a root filesystem in it, and comparisons. */
#ifndef SHIMD_OCI_FIXTURE_H
#define SHIMD_OCI_FIXTURE_H

#include <jansson.h>
#include <stddef.h>

/* A NULL-terminated list, as the options take them. */
#define LIST(...) ((char *const[]){__VA_ARGS__, NULL})

/* A test that runs in a directory of its own. */
#define ROW(function)                                                                              \
    cmocka_unit_test_setup_teardown(function, oci_fixture_set_up, oci_fixture_tear_down)

/* The running test's directory, and the root filesystem in it, which has etc/passwd and etc/group.
 */
extern char oci_fixture_home[64];
extern char oci_fixture_root[128];

int oci_fixture_set_up(void **state);
int oci_fixture_tear_down(void **state);

/* The path of `name` in the test's directory; valid until the next call but three. */
const char *oci_fixture_at(const char *name);

/* Makes or replaces a file. */
void oci_fixture_write(const char *path, const char *text);
void oci_fixture_write_bytes(const char *path, const void *bytes, size_t size);

/* A text of `size` times that byte. The caller frees it. */
char *oci_fixture_filled(char byte, size_t size);

/* Fails the test unless `part` is in `text`. */
void oci_fixture_contains(const char *text, const char *part);

/* Fails the test unless `value`, compact and with its keys sorted, is written so. */
void oci_fixture_json(const json_t *value, const char *expected);

#endif
