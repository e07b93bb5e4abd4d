/* What the tests of client/oci share. */
#include "oci_fixture.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/util.h"

char oci_fixture_home[64];
char oci_fixture_root[128];

void oci_fixture_write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void oci_fixture_write(const char *path, const char *text)
{
    oci_fixture_write_bytes(path, text, strlen(text));
}

const char *oci_fixture_at(const char *name)
{
    static char paths[4][256];
    static size_t next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", oci_fixture_home, name);
    return path;
}

char *oci_fixture_filled(char byte, size_t size)
{
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, byte, size);
    text[size] = '\0';
    return text;
}

int oci_fixture_set_up(void **state)
{
    (void)state;
    strcpy(oci_fixture_home, "/tmp/test-oci-XXXXXX");
    assert_non_null(mkdtemp(oci_fixture_home));
    snprintf(oci_fixture_root, sizeof oci_fixture_root, "%s/root", oci_fixture_home);
    assert_int_equal(mkdir(oci_fixture_root, 0700), 0);
    assert_int_equal(mkdir(oci_fixture_at("root/etc"), 0700), 0);
    oci_fixture_write(oci_fixture_at("root/etc/passwd"), "# web2:x:34:34::/:/bin/sh\n"
                                                         "root:x:0:0:root:/root:/bin/sh\n"
                                                         "\n"
                                                         "  web:x:33:43:web:/:/bin/sh\n"
                                                         "many:x:lots:1::/:/bin/sh\n"
                                                         "huge:x:1:4294967296::/:/bin/sh\n"
                                                         "short\n"
                                                         "own:x:50:51::/:/bin/sh\n"
                                                         "101:x:7:7::/:/bin/sh");
    oci_fixture_write(oci_fixture_at("root/etc/group"), "root:x:0:\n"
                                                        "web:x:43:web\n"
                                                        "#adm:x:9:web\n"
                                                        "adm:x:4:root,web\r\n"
                                                        "prefix:x:5:webmaster\n"
                                                        "video:x:44:web,bob:rest\n"
                                                        "own:x:60:own\n"
                                                        "odd:x:minus:bob\n");
    return 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

int oci_fixture_tear_down(void **state)
{
    (void)state;
    return nftw(oci_fixture_home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void oci_fixture_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in \"%s\"", part, text);
}

void oci_fixture_json(const json_t *value, const char *expected)
{
    AUTO_FREE char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text ? text : "(none)", expected);
}
