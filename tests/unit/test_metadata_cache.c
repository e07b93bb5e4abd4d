/* Records that are kept between the write transactions and LMDB: whatever is done, and whether it
 * is committed or not, everybody reads what a plain table would have. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/cache.h"

#include <stdlib.h>
#include <string.h>

#define KEYS   40
#define STEPS  10000
#define VALUES (CACHE_VALUE_MAX + 100)

static const table_t tables[] = {TABLE_HEADS, TABLE_PROCESSES, TABLE_TRAILS, TABLE_SPECS};

/* A record by its first byte and its size; none with size 0. */
typedef struct known {
    uint8_t byte;
    size_t size;
} known_t;

typedef struct model {
    known_t records[ARRAY_SIZE(tables)][KEYS];
} model_t;

static store_key_t key_of(size_t number)
{
    char text[16];
    snprintf(text, sizeof text, "key-%02zu", number);
    return STORE_KEY("ns", text);
}

static void check_value(const msg_bytes_t *found, const known_t *known)
{
    assert_int_equal(found->size, known->size);
    for (size_t i = 0; i < found->size; i++)
        assert_int_equal(found->data[i], known->byte);
}

static void check_get(txn_t *txn, const model_t *model, size_t table, size_t number)
{
    store_key_t key = key_of(number);
    msg_bytes_t found;
    const known_t *known = &model->records[table][number];
    bool is_there = txn_get(txn, tables[table], key.bytes, key.size, &found);
    assert_int_equal(is_there, known->size != 0);
    if (is_there)
        check_value(&found, known);
}

static void check_walk(txn_t *txn, const model_t *model, size_t table)
{
    scan_t scan;
    size_t number = 0, count = 0;
    for (bool any = scan_seek(&scan, txn, tables[table], NULL, 0); any; any = scan_next(&scan)) {
        while (number < KEYS && !model->records[table][number].size)
            number++;
        assert_in_range(number, 0, KEYS - 1);
        store_key_t key = key_of(number);
        assert_int_equal(scan.key.size, key.size);
        assert_memory_equal(scan.key.data, key.bytes, key.size);
        check_value(&scan.value, &model->records[table][number++]);
        count++;
    }
    scan_close(&scan);
    assert_int_equal(txn_count(txn, tables[table]), count);
    for (; number < KEYS; number++)
        assert_int_equal(model->records[table][number].size, 0);
}

static void step(txn_t *txn, model_t *model)
{
    size_t table = (size_t)random() % ARRAY_SIZE(tables), number = (size_t)random() % KEYS;
    known_t *known = &model->records[table][number];
    store_key_t key = key_of(number);
    uint8_t value[VALUES];
    switch (random() % 8) {
    case 0:
        assert_int_equal(txn_delete(txn, tables[table], key.bytes, key.size), known->size != 0);
        known->size = 0;
        break;
    case 1:
        check_walk(txn, model, table);
        break;
    case 2:
    case 3:
    case 4:
        *known = (known_t){.byte = (uint8_t)random(), .size = 1 + (size_t)random() % VALUES};
        memset(value, known->byte, known->size);
        txn_put(txn, tables[table], key.bytes, key.size, value, known->size);
        break;
    default:
        check_get(txn, model, table, number);
        break;
    }
}

/* A reader sees what was committed last. */
static void check_committed(fixture_t *f, const model_t *model)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    for (size_t table = 0; table < ARRAY_SIZE(tables); table++)
        check_walk(txn, model, table);
}

static void test_random_histories(void **state)
{
    fixture_t *f = *state;
    model_t committed = {0}, model;
    int error;
    srandom(1);
    for (int done = 0; done < STEPS;) {
        txn_t *txn = txn_write(f->store, &error);
        news_t *news;
        assert_non_null(txn);
        model = committed;
        for (long i = random() % 100; i >= 0; i--, done++)
            step(txn, &model);
        if (random() % 3 == 0) {
            txn_destroy(&txn);
        } else {
            assert_int_equal(txn_commit(&txn, &news), 0);
            committed = model;
        }
        if (random() % 8 == 0)
            check_committed(f, &committed);
        if (random() % 20 == 0)
            fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    }
    check_committed(f, &committed);
}

/* What a reader finds damaged is not taken for whole because it is kept here, nor is it lost while
 * it is about to be written. */
static void test_doubt(void **state)
{
    (void)state;
    cache_t *self = cache_new();
    msg_bytes_t found;
    assert_true(cache_put(self, TABLE_HEADS, "k", 1, "old", 3, false));
    cache_doubt(self, TABLE_HEADS, "k", 1);
    assert_false(cache_get(self, TABLE_HEADS, "k", 1, &found));
    assert_true(cache_put(self, TABLE_HEADS, "k", 1, "new", 3, true));
    cache_doubt(self, TABLE_HEADS, "k", 1);
    assert_true(cache_get(self, TABLE_HEADS, "k", 1, &found));
    assert_memory_equal(found.data, "new", 3);
    assert_int_equal(cache_new_count(self), 1);
    cache_destroy(&self);
}

static void test_does_not_grow(void **state)
{
    (void)state;
    cache_t *self = cache_new();
    msg_bytes_t found;
    for (uint32_t i = 0; i <= CACHE_RECORDS_MAX; i++) {
        cache_end(self, true);
        assert_true(!i || cache_get(self, TABLE_HEADS, &(uint32_t){0}, sizeof i, &found));
        assert_true(cache_put(self, TABLE_HEADS, &i, sizeof i, "", 0, false));
    }
    cache_end(self, true);
    assert_false(cache_get(self, TABLE_HEADS, &(uint32_t){0}, sizeof(uint32_t), &found));
    cache_destroy(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_histories, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_does_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
