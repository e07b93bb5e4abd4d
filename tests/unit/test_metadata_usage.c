/* What the store tells of itself. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/snapshot.h"
#include "workers/metadata/upkeep.h"
#include "workers/metadata/usage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NS  "default"
#define DAY 86400

typedef struct asker {
    fixture_t *fixture;
    usage_t usage;
    retention_t retention;
    mender_t *mender;
} asker_t;

static void begin(asker_t *self, fixture_t *f)
{
    *self = (asker_t){.fixture = f, .mender = mender_new(f->io, f->store, f->batch)};
    self->retention =
        (retention_t){.rest = {.max_age = DAY, .max_events = 5000},
                      .max_size = 3,
                      .max_requests = 2000,
                      .max_exits = 1000,
                      .count = 1,
                      .rules = {{.ns = "build", .limits = {.max_age = 60, .max_events = 7}}}};
    self->usage =
        (usage_t){.store = f->store, .mender = self->mender, .retention = &self->retention};
    f->usage = &self->usage;
}

static msg_metadata_t ask(asker_t *self)
{
    static const msg_metadata_status_t nothing;
    msg_metadata_t answer;
    status_t st;
    assert_int_equal(
        fixture_read(self->fixture, usage_tell, NULL, &nothing, &answer, sizeof answer, &st),
        STATUS_OK);
    return answer;
}

static const msg_metadata_table_t *table_of(const msg_metadata_t *answer, table_t table)
{
    for (size_t i = 0; i < answer->tables.count; i++)
        if (!strcmp(answer->tables.items[i].name, store_table_name(table)))
            return &answer->tables.items[i];
    fail_msg("no table %s", store_table_name(table));
    return NULL;
}

static void publish(fixture_t *f, const char *text, int64_t now)
{
    msgpack_sbuffer fields;
    msgpack_packer packer;
    msg_event_seq_t answer;
    status_t st;
    msgpack_sbuffer_init(&fields);
    msgpack_packer_init(&packer, &fields, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "text", 4);
    msgpack_pack_str_with_body(&packer, text, strlen(text));
    msg_event_publish_t ask = {
        .topic = "/t", .type = "t", .event = {(uint8_t *)fields.data, fields.size}};
    f->now = now;
    assert_int_equal(fixture_write(f, journal_publish, NS, &ask, &answer, sizeof answer, &st),
                     STATUS_OK);
    msgpack_sbuffer_destroy(&fields);
}

/* The sizes are those of the file; what is written and taken away shows. */
static void test_sizes(void **state)
{
    fixture_t *f = *state;
    asker_t asker;
    struct stat info;
    char text[20001] = "";
    memset(text, 'x', sizeof text - 1);
    begin(&asker, f);
    msg_metadata_t empty = ask(&asker);
    assert_string_equal(empty.path, f->path);
    assert_int_equal(empty.first_seq, 0);
    assert_int_equal(empty.last_seq, 0);
    assert_int_equal(empty.oldest_at, 0);
    assert_int_equal(empty.max_bytes, STORE_MAP_MAX);
    assert_int_equal(table_of(&empty, TABLE_JOURNAL)->records, 0);
    for (int i = 1; i <= 50; i++)
        publish(f, text, i * 1000);
    msg_metadata_t full = ask(&asker);
    AUTO_FREE char *path = util_format("%s/" SALVAGE_DATA, f->path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(full.file_bytes, info.st_size);
    assert_in_range(full.used_bytes, 50 * sizeof text, full.file_bytes);
    assert_int_equal(table_of(&full, TABLE_JOURNAL)->records, 50);
    assert_in_range(table_of(&full, TABLE_JOURNAL)->bytes, 50 * sizeof text, full.used_bytes);
    assert_int_equal(full.first_seq, 1);
    assert_int_equal(full.last_seq, 50);
    assert_int_equal(full.oldest_at, 1000);
    asker.retention.rest.max_events = 10;
    int error;
    txn_t *txn = txn_write(f->store, &error);
    news_t *news;
    retention_trim(txn, &asker.retention, 50000, RETENTION_PIECE_MAX);
    assert_int_equal(txn_commit(&txn, &news), 0);
    msg_metadata_t trimmed = ask(&asker);
    assert_int_equal(trimmed.first_seq, 41);
    assert_int_equal(trimmed.oldest_at, 41000);
    assert_int_equal(table_of(&trimmed, TABLE_JOURNAL)->records, 10);
    assert_true(trimmed.used_bytes < full.used_bytes - 30 * sizeof text);
    assert_int_equal(trimmed.file_bytes, full.file_bytes);
    mender_destroy(&asker.mender);
}

static void test_limits(void **state)
{
    asker_t asker;
    begin(&asker, *state);
    msg_metadata_t answer = ask(&asker);
    assert_int_equal(answer.limits.count, 2);
    assert_null(answer.limits.items[0].ns);
    assert_int_equal(answer.limits.items[0].max_age, DAY);
    assert_int_equal(answer.limits.items[0].max_events, 5000);
    assert_string_equal(answer.limits.items[1].ns, "build");
    assert_int_equal(answer.limits.items[1].max_age, 60);
    assert_int_equal(answer.limits.items[1].max_events, 7);
    assert_int_equal(answer.max_journal_bytes, 3 << 20);
    assert_int_equal(answer.max_requests, 2000);
    assert_int_equal(answer.max_exits, 1000);
    mender_destroy(&asker.mender);
}

/* A record that waits for being mended, one that was, and a store that was made anew. */
static void test_damage(void **state)
{
    fixture_t *f = *state;
    asker_t asker;
    begin(&asker, f);
    msg_metadata_t answer = ask(&asker);
    assert_int_equal(answer.damage->waiting, 0);
    assert_int_equal(answer.damage->mended, 0);
    assert_null(answer.damage->why);
    store_note_lost(f->store, TABLE_REQUESTS, "gone", 4);
    answer = ask(&asker);
    assert_int_equal(answer.damage->waiting, 1);
    mender_destroy(&asker.mender);
    begin(&asker, f);
    answer = ask(&asker);
    assert_int_equal(answer.damage->waiting, 0);
    assert_int_equal(answer.damage->mended, 1);
    mender_destroy(&asker.mender);

    batch_destroy(&f->batch);
    store_destroy(&f->store);
    AUTO_FREE char *path = util_format("%s/" SALVAGE_DATA, f->path);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    char zeros[64] = {0};
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 128), sizeof zeros); /* in a meta page */
    status_t st;
    f->store = store_open(f->path, STORE_MAP_INITIAL, STORE_MAP_MAX, &st);
    assert_non_null(f->store);
    f->batch = batch_new(f->store, NULL, NULL, NULL);
    begin(&asker, f);
    answer = ask(&asker);
    assert_string_equal(answer.damage->why, "a meta page is damaged");
    AUTO_FREE char *aside = util_format("%s/%s", f->path, answer.damage->file);
    assert_int_equal(access(aside, F_OK), 0);
    mender_destroy(&asker.mender);
}

static void test_backup(void **state)
{
    fixture_t *f = *state;
    asker_t asker;
    upkeep_report_t report;
    status_t st;
    begin(&asker, f);
    msg_metadata_t answer = ask(&asker);
    assert_int_equal(answer.backup_at, 0);
    assert_null(answer.backup_file);
    AUTO_FREE char *path = util_format("%s/copy", f->dir);
    struct stat before;
    AUTO_FREE char *touched = util_format("%s/touched", f->dir);
    AUTO_CLOSE int fd = open(touched, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fstat(fd, &before), 0); /* of the same clock */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(upkeep_backup(f->path, path, &report, &st), STATUS_OK);
        answer = ask(&asker);
        assert_string_equal(answer.backup_file, path);
        assert_in_range(answer.backup_at,
                        before.st_mtim.tv_sec * 1000000000 + before.st_mtim.tv_nsec, util_now_ns());
    }
    mender_destroy(&asker.mender);
}

/* How far those that read beside it are behind: pages that were freed since stay. */
static void test_readers(void **state)
{
    fixture_t *f = *state;
    asker_t asker;
    begin(&asker, f);
    assert_int_equal(ask(&asker).readers.count, 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) { /* its slot stays when it ends like this, until somebody looks */
        snapshot_t snapshot;
        status_t st;
        _exit(!snapshot_open(&snapshot, f->path, &st) && snapshot.txn ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    msg_metadata_t answer = ask(&asker);
    assert_int_equal(answer.readers.count, 1);
    assert_int_equal(answer.readers.items[0].pid, child);
    assert_int_equal(answer.readers.items[0].behind, 0);
    for (int i = 0; i < 3; i++)
        publish(f, "x", 1000);
    assert_int_equal(ask(&asker).readers.items[0].behind, 3);
    mender_destroy(&asker.mender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_limits, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_damage, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_backup, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_readers, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
