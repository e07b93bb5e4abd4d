/* A store in a directory of its own, and methods of the metadata worker run on it as the worker
 * runs them: writes through a batch, reads in a transaction of their own. */
#ifndef SHIMD_METADATA_FIXTURE_H
#define SHIMD_METADATA_FIXTURE_H

#include "workers/metadata/batch.h"
#include "workers/metadata/call.h"
#include "workers/metadata/intake.h"
#include "workers/metadata/restarts.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIXTURE_EVENTS_MAX 64

typedef struct fixture {
    char dir[PATH_MAX]; /* the store's parent, removed at the end */
    char path[PATH_MAX];
    store_t *store;
    batch_t *batch;
    io_set_t *io;
    intake_t *intake;
    msgpack_zone *zone;                  /* answers live in it */
    bool is_mounted;                     /* the directory is a disk of its own */
    int64_t now;                         /* of the next calls; 0 for the clock's */
    uint64_t delivered;                  /* likewise, for event.ack */
    const struct usage *usage;           /* likewise, for metadata.status */
    const restart_delays_t *delays;      /* likewise, those of restarts; NULL for the default */
    char *published[FIXTURE_EVENTS_MAX]; /* keys */
    size_t published_count;
    size_t acknowledged, given_up; /* events */
    char told[256];                /* "NS/ID" of the last intake_told_t */
} fixture_t;

/* cmocka's setup and teardown. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Puts an empty store on a small disk of its own. False, with errno, when nothing can be mounted.
 * `fixture_fill_disk` leaves no room on it. */
bool fixture_small_disk(fixture_t *self, const char *size);
void fixture_fill_disk(fixture_t *self);
void fixture_free_disk(fixture_t *self);

/* Closes the store and opens it again. */
void fixture_reopen(fixture_t *self, size_t map_size, size_t map_max);

status_code_t fixture_write(fixture_t *self, call_run_t *run, const char *ns, const void *ask,
                            void *answer, size_t answer_size, status_t *st);
status_code_t fixture_read(fixture_t *self, call_run_t *run, const char *ns, const void *ask,
                           void *answer, size_t answer_size, status_t *st);

/* Gives a shim's event about a task to the intake, and commits. `exec_id` and `pid` are left out
 * when NULL and 0. */
void fixture_shim_event(fixture_t *self, const char *ns, const char *topic, const char *id,
                        const char *exec_id, uint32_t pid, int64_t time);

/* The same for an exit with its status. */
void fixture_shim_exit(fixture_t *self, const char *ns, const char *id, const char *exec_id,
                       uint32_t pid, uint32_t exit_status, int64_t time);

/* Releases the held events whose time has come by then. */
void fixture_release(fixture_t *self, int64_t now);

/* Makes a container, and an incarnation of it. */
void fixture_container(fixture_t *self, const char *ns, const char *id);
status_code_t fixture_begin(fixture_t *self, const char *ns, const char *id,
                            const char *incarnation, status_t *st);

/* The containers c<first> to c<last - 1>, each with a run whose shim has told its beginning and
 * end.
 */
void fixture_fill(fixture_t *self, const char *ns, int first, int last);

/* A batch_run_t: a record of several pages, of the key that `arg` is. */
void fixture_put_big(void *arg, txn_t *txn);

/* All of the journal, decoded; lives in the zone. */
msgpack_object fixture_journal(fixture_t *self);
const msgpack_object *fixture_field(const msgpack_object *map, const char *name);
bool fixture_is(const msgpack_object *map, const char *name, const char *text);
size_t fixture_count(fixture_t *self, table_t table);

#endif
