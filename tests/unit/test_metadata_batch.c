/* Group commit: one transaction, one fate, one order; and neighbours that do not hurt each other.
 */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"

#include <string.h>

typedef enum what { PUT, REFUSE, BREAK, BIG, TELL } what_t;

typedef struct op {
    what_t what;
    char key;
    int runs, answers;
    int order;
    status_t st;
} op_t;

static int answered;

static void tell(txn_t *txn)
{
    txn_tell(txn, "default", "/x", "event", 5);
}

static void run(void *arg, txn_t *txn)
{
    op_t *op = arg;
    op->runs++;
    if (op->what == REFUSE)
        return;
    if (op->what == BREAK)
        txn_fail(txn, MDB_CORRUPTED);
    AUTO_FREE uint8_t *big = zmalloc(1 << 20);
    txn_put(txn, TABLE_SPECS, &op->key, 1, big, op->what == BIG ? 1 << 20 : 1);
    if (op->what == TELL)
        tell(txn);
}

static void done(void *arg, const status_t *st)
{
    op_t *op = arg;
    op->answers++;
    op->order = answered++;
    op->st = *st;
}

static void commit(fixture_t *f, op_t *ops, size_t count)
{
    answered = 0;
    for (size_t i = 0; i < count; i++)
        batch_add(f->batch, run, done, &ops[i]);
    assert_int_equal(batch_waiting(f->batch), count);
    batch_commit(f->batch);
    assert_int_equal(batch_waiting(f->batch), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ops[i].answers, 1);
        assert_int_equal(ops[i].order, i);
    }
}

static bool has(fixture_t *f, char key)
{
    status_t st;
    msg_bytes_t found;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    return txn_get(txn, TABLE_SPECS, &key, 1, &found);
}

static void test_one_fate_and_order(void **state)
{
    fixture_t *f = *state;
    op_t ops[] = {{.what = PUT, .key = 'a'},
                  {.what = TELL, .key = 'b'},
                  {.what = REFUSE, .key = 'c'},
                  {.what = TELL, .key = 'd'}};
    commit(f, ops, ARRAY_SIZE(ops));
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        assert_int_equal(ops[i].st.code, STATUS_OK);
        assert_int_equal(ops[i].runs, 1);
    }
    assert_true(has(f, 'a') && has(f, 'b') && has(f, 'd'));
    assert_false(has(f, 'c'));
    assert_int_equal(f->published_count, 2);
}

static void test_all_run_again_when_the_map_grows(void **state)
{
    fixture_t *f = *state;
    fixture_reopen(f, 256 << 10, 64 << 20);
    op_t ops[] = {{.what = TELL, .key = 'a'}, {.what = BIG, .key = 'b'}, {.what = PUT, .key = 'c'}};
    commit(f, ops, ARRAY_SIZE(ops));
    assert_true(ops[0].runs > 1);
    assert_int_equal(ops[2].runs, 1); /* only the transaction that held came this far */
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        assert_int_equal(ops[i].st.code, STATUS_OK);
    assert_true(has(f, 'a') && has(f, 'b') && has(f, 'c'));
    assert_int_equal(f->published_count, 1); /* news of transactions that failed are no news */
}

static void test_one_bad_operation_hurts_nobody_else(void **state)
{
    fixture_t *f = *state;
    op_t ops[] = {
        {.what = TELL, .key = 'a'}, {.what = BREAK, .key = 'b'}, {.what = PUT, .key = 'c'}};
    commit(f, ops, ARRAY_SIZE(ops));
    assert_int_equal(ops[0].st.code, STATUS_OK);
    assert_int_equal(ops[1].st.code, STATUS_DATA_LOSS);
    assert_int_equal(ops[2].st.code, STATUS_OK);
    assert_true(has(f, 'a') && has(f, 'c'));
    assert_false(has(f, 'b'));
    assert_int_equal(f->published_count, 1);
}

static void test_full_store_refuses_the_whole_batch(void **state)
{
    fixture_t *f = *state;
    fixture_reopen(f, 256 << 10, 512 << 10);
    op_t ops[] = {{.what = PUT, .key = 'a'}, {.what = BIG, .key = 'b'}, {.what = TELL, .key = 'c'}};
    commit(f, ops, ARRAY_SIZE(ops));
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        assert_int_equal(ops[i].st.code, STATUS_RESOURCE_EXHAUSTED);
    assert_false(has(f, 'a') || has(f, 'b') || has(f, 'c'));
    assert_int_equal(f->published_count, 0);
    op_t next[] = {{.what = PUT, .key = 'd'}};
    commit(f, next, 1);
    assert_int_equal(next[0].st.code, STATUS_OK);
}

static void test_loop_commits_what_was_added(void **state)
{
    fixture_t *f = *state;
    batch_t *batch = batch_new(f->store, f->io, NULL, NULL);
    op_t ops[] = {{.what = PUT, .key = 'a'}, {.what = PUT, .key = 'b'}};
    answered = 0;
    batch_add(batch, run, done, &ops[0]);
    batch_add(batch, run, done, &ops[1]);
    assert_int_equal(answered, 0);
    io_set_turn(f->io);
    assert_int_equal(answered, 2);
    assert_true(has(f, 'a') && has(f, 'b'));
    batch_destroy(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_fate_and_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_all_run_again_when_the_map_grows, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_one_bad_operation_hurts_nobody_else, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_store_refuses_the_whole_batch, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_loop_commits_what_was_added, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
