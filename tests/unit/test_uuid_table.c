/* Tables by request id. */
#include "common/uuid_table.h"

#include "common/message.h"
#include "common/util.h"

#include <setjmp.h>

#include <cmocka.h>

#define ITEMS 5000

typedef struct item {
    int number;
    msg_uuid_t id;
} item_t;

static int freed;

static void item_destroy(item_t **self)
{
    freed++;
    free(*self);
    *self = NULL;
}

/* Ids a client might choose: they differ in one byte only, wherever it is. */
static msg_uuid_t id_of(int number)
{
    msg_uuid_t id = {.bytes = {1}};
    id.bytes[1 + number % 15] = (uint8_t)(1 + number / 15 % 255);
    id.bytes[0] = (uint8_t)(1 + number / 15 / 255);
    return id;
}

static void test_items_by_id(void **state)
{
    (void)state;
    zhashx_t *table = uuid_table_new();
    zhashx_set_destructor(table, (zhashx_destructor_fn *)item_destroy);
    for (int i = 0; i < ITEMS; i++) {
        item_t *item = zmalloc(sizeof *item);
        *item = (item_t){.number = i, .id = id_of(i)};
        assert_int_equal(zhashx_insert(table, &item->id, item), 0);
    }
    for (int i = 0; i < ITEMS; i++) {
        msg_uuid_t id = id_of(i);
        item_t *item = zhashx_lookup(table, &id);
        assert_non_null(item);
        assert_int_equal(item->number, i);
        item_t again = {.id = id};
        assert_int_equal(zhashx_insert(table, &again.id, &again), -1);
    }
    for (int i = 0; i < ITEMS; i += 2) {
        msg_uuid_t id = id_of(i);
        zhashx_delete(table, &id);
        assert_null(zhashx_lookup(table, &id));
    }
    assert_int_equal(zhashx_size(table), ITEMS / 2);
    assert_int_equal(freed, ITEMS / 2);
    zhashx_destroy(&table);
    assert_int_equal(freed, ITEMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_items_by_id)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
