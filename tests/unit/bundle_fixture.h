/* A store in a fresh directory for the tests of the bundle worker, and looking at what is on disk.
 */
#ifndef SHIMD_BUNDLE_FIXTURE_H
#define SHIMD_BUNDLE_FIXTURE_H

#include "workers/bundle/bundle_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NS   "default"
#define INC1 "11111111-2222-4333-8444-555555555555"
#define INC2 "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define SPEC "{\"ociVersion\":\"1.0.2\"}"

#define LIMIT_SECONDS 60 /* of one test: nothing here may block */

typedef struct fixture {
    char *base; /* holds "run", "root" and "precious/file" */
    bundle_store_t *store;
    msgpack_zone *zone;
} fixture_t;

/* cmocka's setup and teardown. Teardown unmounts all that is left below the base. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Makes mounts of this process its own. False, having said so, when that is not permitted. */
bool fixture_can_mount(void);

/* Ends the test as skipped when there can be no mounts. */
#define NEED_MOUNTS()                                                                              \
    do {                                                                                           \
        if (!fixture_can_mount())                                                                  \
            skip();                                                                                \
    } while (0)

/* A path below the base. Valid until the eighth call after. */
const char *at(const fixture_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Make a bundle of INC1, expected to succeed. */
void make_bundle(const fixture_t *self, const char *id);

void make_dir(const char *path);
void make_file(const char *path, const char *text);
void expect_file(const char *path, const char *text);
bool exists(const char *path); /* whatever it is; symlinks are not followed */

/* Number of entries below a directory, itself not counted, over mounts too. */
size_t count_below(const char *path);

void mount_tmpfs(const char *path, const char *options);
void mount_bind(const char *from, const char *to);
size_t count_mounts(const fixture_t *self);

#endif
