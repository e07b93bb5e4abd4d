/* Records that were found damaged, and what becomes of them. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/mender.h"

#include <string.h>

#define NS "default"

static void committed(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

/* Noted as damaged, it may be removed by what its reader does next: that is no damage to the
 * structure, of which the process would die. */
static void test_lost_record_that_is_gone(void **state)
{
    fixture_t *f = *state;
    size_t count;
    uint64_t last = store_journal_last(f->store);
    store_note_lost(f->store, TABLE_REQUESTS, "gone", 4);
    store_note_lost(f->store, TABLE_JOURNAL, "\1\0\0\0\0\0\0\0", sizeof(uint64_t));
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    store_lost(f->store, &count);
    assert_int_equal(count, 0);
    assert_int_equal(mender_count(mender), 2);
    assert_int_equal(store_journal_last(f->store), last + 2); /* told, and no mark */
    mender_destroy(&mender);
}

static void flip_record(void *arg, txn_t *txn)
{
    const store_key_t *key = arg;
    msg_bytes_t found;
    uint8_t copy[4096];
    assert_true(txn_get(txn, TABLE_CONTAINERS, key->bytes, key->size, &found));
    assert_true(found.size < sizeof copy);
    memcpy(copy, found.data, found.size);
    txn_put(txn, TABLE_CONTAINERS, key->bytes, key->size, copy, found.size);
    assert_true(txn_get(txn, TABLE_CONTAINERS, key->bytes, key->size, &found));
    ((uint8_t *)(uintptr_t)found.data)[found.size / 2] ^= 1; /* a page that is to be written */
}

/* It is made again from its spec and the event of its making: what has a task can be deleted. */
static void test_lost_container(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_container_t record;
    msg_empty_t nothing;
    size_t count;
    store_key_t key = STORE_KEY(NS, "c1");
    fixture_fill(f, NS, 1, 3);
    batch_add(f->batch, flip_record, committed, &key);
    batch_commit(f->batch);
    const msg_container_get_t get = {.id = "c1"};
    assert_int_equal(fixture_read(f, containers_get, NS, &get, &record, sizeof record, &st),
                     STATUS_NOT_FOUND);
    store_lost(f->store, &count);
    assert_int_equal(count, 1);
    mender_t *mender = mender_new(f->io, f->store, f->batch);
    assert_int_equal(mender_count(mender), 1);
    assert_int_equal(fixture_read(f, containers_get, NS, &get, &record, sizeof record, &st),
                     STATUS_OK);
    assert_string_equal(record.runtime, "io.containerd.runc.v2");
    assert_in_range(record.created_at, 1, util_now_ns());
    const msg_container_delete_t delete = {.id = "c1"};
    assert_int_equal(
        fixture_write(f, containers_delete, NS, &delete, &nothing, sizeof nothing, &st),
        STATUS_FAILED_PRECONDITION); /* it has a task, and is there */
    mender_destroy(&mender);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lost_record_that_is_gone),
        TEST(test_lost_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
