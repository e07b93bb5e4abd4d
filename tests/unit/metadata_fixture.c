/* A store in a directory of its own. */
#include "tests/unit/metadata_fixture.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/run.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mount.h>

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static void publish(void *arg, news_t *news)
{
    fixture_t *self = arg;
    for (const news_t *item = news; item; item = item->next)
        if (self->published_count < FIXTURE_EVENTS_MAX)
            self->published[self->published_count++] = util_strdup(item->key);
    news_destroy(&news);
}

static void told(void *arg, const char *ns, const char *id)
{
    fixture_t *self = arg;
    snprintf(self->told, sizeof self->told, "%s/%s", ns, id);
}

static void open_store(fixture_t *self, size_t map_size, size_t map_max)
{
    status_t st;
    self->store = store_open(self->path, map_size, map_max, &st);
    assert_non_null(self->store);
    self->batch = batch_new(self->store, NULL, publish, self);
    self->intake = intake_new(self->io, self->batch, told, self);
}

static void close_store(fixture_t *self)
{
    intake_destroy(&self->intake);
    batch_destroy(&self->batch);
    store_destroy(&self->store);
}

void fixture_reopen(fixture_t *self, size_t map_size, size_t map_max)
{
    close_store(self);
    open_store(self, map_size, map_max);
}

bool fixture_small_disk(fixture_t *self, const char *size)
{
    AUTO_FREE char *options = util_format("size=%s", size);
    if (mount("tmpfs", self->dir, "tmpfs", MS_NOSUID, options))
        return false;
    self->is_mounted = true;
    fixture_reopen(self, STORE_MAP_INITIAL, STORE_MAP_MAX);
    return true;
}

void fixture_fill_disk(fixture_t *self)
{
    static const char block[4096];
    AUTO_FREE char *path = util_format("%s/filler", self->dir);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
}

void fixture_free_disk(fixture_t *self)
{
    AUTO_FREE char *path = util_format("%s/filler", self->dir);
    assert_int_equal(unlink(path), 0);
}

int fixture_setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    snprintf(self->dir, sizeof self->dir, "/tmp/shimd-metadata-XXXXXX");
    if (!mkdtemp(self->dir))
        return -1;
    log_open("test", LOG_LEVEL_ERROR);
    zsys_handler_set(NULL);
    snprintf(self->path, sizeof self->path, "%.4000s/metadata", self->dir);
    self->io = io_set_new(NULL);
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    open_store(self, STORE_MAP_INITIAL, STORE_MAP_MAX);
    *state = self;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_t *self = *state;
    close_store(self);
    if (self->is_mounted && umount2(self->dir, MNT_DETACH))
        return -1;
    for (size_t i = 0; i < self->published_count; i++)
        free(self->published[i]);
    msgpack_zone_free(self->zone);
    io_set_destroy(&self->io);
    int failed = nftw(self->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(self);
    return failed;
}

/* Calls -----------------------------------------------------------------------------------------
 */

typedef struct one {
    call_run_t *run;
    call_t call;
    size_t answer_size;
    status_t outcome;
    status_t committed;
} one_t;

static void run_one(void *arg, txn_t *txn)
{
    one_t *one = arg;
    size_t writes = txn_writes(txn);
    status_clear(&one->outcome);
    memset(one->call.answer, 0, one->answer_size);
    one->run(txn, &one->call, &one->outcome);
    if (one->outcome.code)
        assert_int_equal(txn_writes(txn), writes);
}

static void done_one(void *arg, const status_t *st)
{
    one_t *one = arg;
    one->committed = *st;
}

static call_t call_of(fixture_t *self, const char *ns, const void *ask, void *answer)
{
    return (call_t){.ns = ns,
                    .ask = ask,
                    .answer = answer,
                    .zone = self->zone,
                    .now = self->now ? self->now : util_now_ns(),
                    .delivered = self->delivered,
                    .usage = self->usage,
                    .delays = self->delays ? self->delays : &restart_delays_default};
}

status_code_t fixture_write(fixture_t *self, call_run_t *run, const char *ns, const void *ask,
                            void *answer, size_t answer_size, status_t *st)
{
    msg_container_t nothing;
    one_t one = {.run = run,
                 .call = call_of(self, ns, ask, answer ? answer : &nothing),
                 .answer_size = answer_size};
    batch_add(self->batch, run_one, done_one, &one);
    batch_commit(self->batch);
    *st = one.committed.code ? one.committed : one.outcome;
    return st->code;
}

status_code_t fixture_read(fixture_t *self, call_run_t *run, const char *ns, const void *ask,
                           void *answer, size_t answer_size, status_t *st)
{
    call_t call = call_of(self, ns, ask, answer);
    memset(answer, 0, answer_size);
    status_clear(st);
    AUTO(txn)
    txn = txn_read(self->store, st);
    assert_non_null(txn);
    run(txn, &call, st);
    if (txn_error(txn))
        txn_status(txn, st);
    return st->code;
}

void fixture_container(fixture_t *self, const char *ns, const char *id)
{
    msg_container_create_t ask = {.id = id,
                                  .runtime = "io.containerd.runc.v2",
                                  .spec = {.data = (const uint8_t *)"{\"a\":1}", .size = 7}};
    msg_container_t answer;
    status_t st;
    assert_int_equal(fixture_write(self, containers_create, ns, &ask, &answer, sizeof answer, &st),
                     STATUS_OK);
}

status_code_t fixture_begin(fixture_t *self, const char *ns, const char *id,
                            const char *incarnation, status_t *st)
{
    msg_incarnation_begin_t ask = {.id = id, .incarnation = incarnation};
    msg_container_t answer;
    return fixture_write(self, incarnations_begin, ns, &ask, &answer, sizeof answer, st);
}

/* Events ----------------------------------------------------------------------------------------
 */

static void acknowledge(void *arg, bool is_stored)
{
    fixture_t *self = arg;
    self->acknowledged += is_stored;
    self->given_up += !is_stored;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void shim_event(fixture_t *self, const char *ns, const char *topic, const char *id,
                       const char *exec_id, uint32_t pid, uint32_t exit_status, int64_t time)
{
    bool named_id = !strcmp(topic, "/tasks/exit") || !strcmp(topic, "/tasks/delete");
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, (size_t)1 + (exec_id != NULL) + (pid != 0) + (exit_status != 0));
    pack_text(&packer, "container_id");
    pack_text(&packer, id);
    if (exec_id) {
        pack_text(&packer, named_id ? "id" : "exec_id");
        pack_text(&packer, exec_id);
    }
    if (pid) {
        pack_text(&packer, "pid");
        msgpack_pack_uint32(&packer, pid);
    }
    if (exit_status) {
        pack_text(&packer, "exit_status");
        msgpack_pack_uint32(&packer, exit_status);
    }
    intake_event_t event = {.ns = ns,
                            .topic = topic,
                            .type = "containerd.events.Task",
                            .time = time,
                            .fields = {.data = (uint8_t *)buffer.data, .size = buffer.size}};
    status_t st;
    assert_int_equal(intake_add(self->intake, &event, acknowledge, self, &st), STATUS_OK);
    msgpack_sbuffer_destroy(&buffer);
    batch_commit(self->batch);
}

void fixture_shim_event(fixture_t *self, const char *ns, const char *topic, const char *id,
                        const char *exec_id, uint32_t pid, int64_t time)
{
    shim_event(self, ns, topic, id, exec_id, pid, 0, time);
}

void fixture_shim_exit(fixture_t *self, const char *ns, const char *id, const char *exec_id,
                       uint32_t pid, uint32_t exit_status, int64_t time)
{
    shim_event(self, ns, "/tasks/exit", id, exec_id, pid, exit_status, time);
}

typedef struct release {
    int64_t now;
    bool any;
} release_t;

static void run_release(void *arg, txn_t *txn)
{
    release_t *release = arg;
    release->any = run_release_due(txn, release->now);
}

static void done_release(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

void fixture_release(fixture_t *self, int64_t now)
{
    release_t release = {.now = now, .any = true};
    while (release.any) {
        batch_add(self->batch, run_release, done_release, &release);
        batch_commit(self->batch);
    }
}

/* Looking ---------------------------------------------------------------------------------------
 */

msgpack_object fixture_journal(fixture_t *self)
{
    msg_event_list_t ask = {.all = true, .limit = 10000};
    msg_event_page_t page;
    status_t st;
    assert_int_equal(fixture_read(self, journal_list, NULL, &ask, &page, sizeof page, &st),
                     STATUS_OK);
    msgpack_object events;
    size_t offset = 0;
    assert_true(msgpack_unpack((const char *)page.events.data, page.events.size, &offset,
                               self->zone, &events) > 0);
    assert_int_equal(events.type, MSGPACK_OBJECT_ARRAY);
    return events;
}

const msgpack_object *fixture_field(const msgpack_object *map, const char *name)
{
    assert_int_equal(map->type, MSGPACK_OBJECT_MAP);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_str *key = &map->via.map.ptr[i].key.via.str;
        if (key->size == strlen(name) && !memcmp(key->ptr, name, key->size))
            return &map->via.map.ptr[i].val;
    }
    return NULL;
}

bool fixture_is(const msgpack_object *map, const char *name, const char *text)
{
    const msgpack_object *found = fixture_field(map, name);
    return found && found->type == MSGPACK_OBJECT_STR && found->via.str.size == strlen(text) &&
           !memcmp(found->via.str.ptr, text, strlen(text));
}

size_t fixture_count(fixture_t *self, table_t table)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(self->store, &st);
    assert_non_null(txn);
    return txn_count(txn, table);
}

void fixture_fill(fixture_t *self, const char *ns, int first, int last)
{
    for (int i = first; i < last; i++) {
        char id[32], run[UTIL_UUID_SIZE];
        status_t st;
        snprintf(id, sizeof id, "c%d", i);
        util_uuid(run);
        fixture_container(self, ns, id);
        assert_int_equal(fixture_begin(self, ns, id, run, &st), STATUS_OK);
        fixture_shim_event(self, ns, "/tasks/create", id, NULL, (uint32_t)i + 1, util_now_ns());
        fixture_shim_event(self, ns, "/tasks/exit", id, NULL, (uint32_t)i + 1, util_now_ns() + 9);
    }
}

void fixture_put_big(void *arg, txn_t *txn)
{
    uint8_t data[9000];
    memset(data, 'x', sizeof data);
    txn_put(txn, TABLE_SPECS, arg, strlen(arg), data, sizeof data);
}
