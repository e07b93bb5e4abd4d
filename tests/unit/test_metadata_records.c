/* Namespaces, containers and outcomes of requests. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/namespaces.h"
#include "workers/metadata/requests.h"

#include <string.h>

#define BYTES(text) ((msg_bytes_t){.data = (const uint8_t *)(text), .size = strlen(text)})
#define LABELS(...)                                                                                \
    {                                                                                              \
        .items = (msg_label_t[]){__VA_ARGS__},                                                     \
        .count = sizeof((msg_label_t[]){__VA_ARGS__}) / sizeof(msg_label_t)                        \
    }

/* Namespaces ------------------------------------------------------------------------------------
 */

static void test_namespace_life(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_namespace_t answer;
    msg_namespace_create_t create = {.name = "a", .labels = LABELS({"k", "v"}, {"e", ""})};
    assert_int_equal(
        fixture_write(f, namespaces_create, NULL, &create, &answer, sizeof answer, &st), STATUS_OK);
    assert_int_equal(answer.labels.count, 1);
    assert_int_equal(
        fixture_write(f, namespaces_create, NULL, &create, &answer, sizeof answer, &st),
        STATUS_ALREADY_EXISTS);
    assert_string_equal(st.text, "namespace \"a\": already exists");

    msg_namespace_update_t update = {.name = "a", .labels = LABELS({"k", ""}, {"l", "w"})};
    assert_int_equal(
        fixture_write(f, namespaces_update, NULL, &update, &answer, sizeof answer, &st), STATUS_OK);
    msg_namespace_get_t get = {.name = "a"};
    assert_int_equal(fixture_read(f, namespaces_get, NULL, &get, &answer, sizeof answer, &st),
                     STATUS_OK);
    assert_int_equal(answer.labels.count, 1);
    assert_string_equal(answer.labels.items[0].key, "l");
    assert_string_equal(answer.labels.items[0].value, "w");

    msg_namespace_delete_t delete = {.name = "a"};
    assert_int_equal(fixture_write(f, namespaces_delete, NULL, &delete, NULL, 0, &st), STATUS_OK);
    assert_int_equal(fixture_write(f, namespaces_delete, NULL, &delete, NULL, 0, &st),
                     STATUS_NOT_FOUND);
    assert_string_equal(st.text, "namespace \"a\": not found");
    assert_int_equal(
        fixture_write(f, namespaces_update, NULL, &update, &answer, sizeof answer, &st),
        STATUS_NOT_FOUND);

    static const char *const topics[] = {"/namespaces/create", "/namespaces/update",
                                         "/namespaces/delete"};
    msgpack_object events = fixture_journal(f);
    assert_int_equal(events.via.array.size, 3);
    for (size_t i = 0; i < 3; i++) {
        const msgpack_object *event = &events.via.array.ptr[i];
        assert_true(fixture_is(event, "topic", topics[i]));
        assert_true(fixture_is(event, "ns", "a"));
        assert_true(fixture_is(event, "origin", "shimd"));
        assert_true(fixture_is(fixture_field(event, "event"), "name", "a"));
    }
    const msgpack_object *first = &events.via.array.ptr[0];
    assert_true(fixture_is(first, "type", "containerd.events.NamespaceCreate"));
    assert_true(fixture_is(fixture_field(fixture_field(first, "event"), "labels"), "k", "v"));
}

static void test_namespace_with_containers_stays(void **state)
{
    fixture_t *f = *state;
    status_t st;
    fixture_container(f, "a", "c1");
    msg_namespace_delete_t delete = {.name = "a"};
    assert_int_equal(fixture_write(f, namespaces_delete, NULL, &delete, NULL, 0, &st),
                     STATUS_FAILED_PRECONDITION);
    assert_string_equal(st.text, "namespace \"a\" must be empty, but it still has containers");
    /* A namespace whose name is a prefix of another's is empty all the same. */
    fixture_container(f, "ab", "c1");
    msg_container_delete_t gone = {.id = "c1"};
    assert_int_equal(fixture_write(f, containers_delete, "a", &gone, NULL, 0, &st), STATUS_OK);
    assert_int_equal(fixture_write(f, namespaces_delete, NULL, &delete, NULL, 0, &st), STATUS_OK);
    msg_namespaces_t list;
    assert_int_equal(
        fixture_read(f, namespaces_list, NULL, &(msg_namespace_list_t){0}, &list, sizeof list, &st),
        STATUS_OK);
    assert_int_equal(list.namespaces.count, 1);
    assert_string_equal(list.namespaces.items[0].name, "ab");
}

/* Containers ------------------------------------------------------------------------------------
 */

static void test_container_life(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_container_t answer;
    msg_runc_options_t runc = {.binary_name = "crun"};
    msg_container_create_t create = {.id = "c1",
                                     .image = "busybox",
                                     .runtime = "io.containerd.runc.v2",
                                     .runc = &runc,
                                     .labels = LABELS({"k", "v"}),
                                     .spec = BYTES("{\"process\":{}}")};
    assert_int_equal(
        fixture_write(f, containers_create, "ns1", &create, &answer, sizeof answer, &st),
        STATUS_OK);
    assert_null(answer.spec.data);
    assert_string_equal(answer.ns, "ns1");
    assert_int_equal(
        fixture_write(f, containers_create, "ns1", &create, &answer, sizeof answer, &st),
        STATUS_ALREADY_EXISTS);
    assert_string_equal(st.text, "container \"c1\": already exists");

    msg_container_get_t get = {.id = "c1"};
    assert_int_equal(fixture_read(f, containers_get, "ns1", &get, &answer, sizeof answer, &st),
                     STATUS_OK);
    assert_int_equal(answer.spec.size, create.spec.size);
    assert_memory_equal(answer.spec.data, create.spec.data, create.spec.size);
    assert_string_equal(answer.runc->binary_name, "crun");
    int64_t created_at = answer.created_at;

    msg_container_update_t update = {
        .id = "c1", .image = "alpine", .labels = LABELS({"l", "w"}), .spec = BYTES("{}")};
    assert_int_equal(
        fixture_write(f, containers_update, "ns1", &update, &answer, sizeof answer, &st),
        STATUS_OK);
    assert_int_equal(fixture_read(f, containers_get, "ns1", &get, &answer, sizeof answer, &st),
                     STATUS_OK);
    assert_int_equal(answer.spec.size, 2);
    assert_int_equal(answer.labels.count, 2);
    assert_string_equal(answer.image, "alpine");
    assert_int_equal(answer.created_at, created_at);
    assert_true(answer.updated_at > created_at);

    msg_container_delete_t delete = {.id = "c1"};
    assert_int_equal(fixture_write(f, containers_delete, "ns1", &delete, NULL, 0, &st), STATUS_OK);
    assert_int_equal(fixture_read(f, containers_get, "ns1", &get, &answer, sizeof answer, &st),
                     STATUS_NOT_FOUND);
    assert_string_equal(st.text, "container \"c1\" in namespace \"ns1\": not found");
    assert_int_equal(fixture_count(f, TABLE_SPECS), 0);

    static const char *const topics[] = {"/namespaces/create", "/containers/create",
                                         "/containers/update", "/containers/delete"};
    msgpack_object events = fixture_journal(f);
    assert_int_equal(events.via.array.size, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(fixture_is(&events.via.array.ptr[i], "topic", topics[i]));
    const msgpack_object *made = fixture_field(&events.via.array.ptr[1], "event");
    assert_true(fixture_is(made, "id", "c1"));
    assert_true(fixture_is(made, "image", "busybox"));
    assert_true(fixture_is(fixture_field(made, "runtime"), "name", "io.containerd.runc.v2"));
}

static void test_container_checks(void **state)
{
    (void)state;
    status_t st;
    static const char *const good[] = {"io.containerd.runc.v2", "a.b", "/usr/bin/my-shim"};
    static const char *const bad[] = {"runc", "", "/", "a/b.c", "../x.y", "a..b", ".a.b", "a.b."};
    msg_container_create_t ask = {.id = "c", .spec = BYTES(" {\"a\": [1]} ")};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ask.runtime = good[i];
        assert_int_equal(containers_check_create(&ask, &st), STATUS_OK);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ask.runtime = bad[i];
        assert_int_equal(containers_check_create(&ask, &st), STATUS_INVALID_ARGUMENT);
        assert_memory_equal(st.text, "invalid runtime name ", 21);
    }
    ask.runtime = "a.b";
    static const char *const not_json[] = {"", "{", "{} x", "\xff", "nope"};
    for (size_t i = 0; i < ARRAY_SIZE(not_json); i++) {
        ask.spec = BYTES(not_json[i]);
        assert_int_equal(containers_check_create(&ask, &st), STATUS_INVALID_ARGUMENT);
        assert_memory_equal(st.text, "container.create: spec is not JSON: ", 36);
    }
    ask.spec = BYTES("[1]");
    assert_int_equal(containers_check_create(&ask, &st), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "container.create: spec is not a JSON object");
    msg_container_update_t update = {.id = "c"};
    assert_int_equal(containers_check_update(&update, &st), STATUS_OK);
    update.spec = BYTES("7");
    assert_int_equal(containers_check_update(&update, &st), STATUS_INVALID_ARGUMENT);
}

static void test_container_too_large(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_container_t answer;
    AUTO_FREE uint8_t *options = zmalloc(1 << 20);
    msg_container_create_t create = {.id = "c1",
                                     .runtime = "a.b",
                                     .options = {.data = options, .size = 1 << 20},
                                     .spec = BYTES("{}")};
    assert_int_equal(
        fixture_write(f, containers_create, "new", &create, &answer, sizeof answer, &st),
        STATUS_INVALID_ARGUMENT);
    assert_int_equal(fixture_count(f, TABLE_NAMESPACES), 0);
    assert_int_equal(fixture_count(f, TABLE_JOURNAL), 0);
}

static void test_container_pages(void **state)
{
    fixture_t *f = *state;
    status_t st;
    static const char *const namespaces[] = {"a", "a-b", "b"};
    for (size_t n = 0; n < 3; n++)
        for (int i = 0; i < 5; i++) {
            char id[8];
            snprintf(id, sizeof id, "c%d", i);
            fixture_container(f, namespaces[n], id);
        }
    size_t seen = 0;
    msg_containers_t page;
    msg_container_list_t ask = {.all = true, .limit = 4};
    do {
        assert_int_equal(fixture_read(f, containers_list, NULL, &ask, &page, sizeof page, &st),
                         STATUS_OK);
        for (size_t i = 0; i < page.containers.count; i++, seen++) {
            assert_string_equal(page.containers.items[i].ns, namespaces[seen / 5]);
            assert_int_equal(page.containers.items[i].id[1], '0' + (int)(seen % 5));
            assert_null(page.containers.items[i].spec.data);
        }
        ask.after = page.next;
    } while (page.next);
    assert_int_equal(seen, 15);

    ask = (msg_container_list_t){.after = "a/c3"};
    assert_int_equal(fixture_read(f, containers_list, "a", &ask, &page, sizeof page, &st),
                     STATUS_OK);
    assert_int_equal(page.containers.count, 1);
    assert_null(page.next);
    ask.after = "nonsense";
    assert_int_equal(fixture_read(f, containers_list, "a", &ask, &page, sizeof page, &st),
                     STATUS_INVALID_ARGUMENT);
    ask = (msg_container_list_t){.limit = 1};
    assert_int_equal(fixture_read(f, containers_list, NULL, &ask, &page, sizeof page, &st),
                     STATUS_INVALID_ARGUMENT);
}

static void list_filtered(fixture_t *f, const char *filter, msg_container_list_t *ask,
                          msg_containers_t *page)
{
    status_t st;
    ask->filters = (msg_texts_t){.items = &filter, .count = 1};
    if (fixture_read(f, containers_list, NULL, ask, page, sizeof *page, &st))
        fail_msg("%s", st.text);
    ask->after = page->next;
}

static void test_container_filters(void **state)
{
    fixture_t *f = *state;
    msg_containers_t page;
    for (int i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%02d", i);
        fixture_container(f, "a", id);
    }
    /* Pages are filled with what matches, and every match is on one of them. */
    size_t seen = 0, pages = 0;
    msg_container_list_t ask = {.all = true, .limit = 2};
    do {
        list_filtered(f, "id~=[05]$,created_at>2020-01-01", &ask, &page);
        pages++;
        for (size_t i = 0; i < page.containers.count; i++, seen++)
            assert_int_equal(atoi(page.containers.items[i].id + 1), (int)seen * 5);
        assert_true(!ask.after || page.containers.count == 2);
    } while (ask.after);
    assert_int_equal(seen, 4);
    assert_int_equal(pages, 3);

    ask = (msg_container_list_t){.all = true};
    list_filtered(f, "namespace==b", &ask, &page);
    assert_int_equal(page.containers.count, 0);
    assert_null(page.next);
}

#define LARGE 700000 /* bytes of a record: a page has room for two of them */

static void run_large(void *arg, txn_t *txn)
{
    char *image = arg;
    for (int i = 0; i < 60; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%02d", i);
        store_key_t key = STORE_KEY("a", id);
        msg_container_t record = {.ns = "a",
                                  .id = id,
                                  .image = i % 30 ? "no" : "yes",
                                  .runtime = "x.y",
                                  .created_at = 1,
                                  .options_type = "t",
                                  .options = {.data = (uint8_t *)image, .size = LARGE}};
        txn_put_message(txn, TABLE_CONTAINERS, &key, MSG_container, &record);
    }
}

static void done_large(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

/* One answer looks at CONTAINERS_SCAN_BYTES; those that match none still lead on. */
static void test_container_filters_are_bounded(void **state)
{
    fixture_t *f = *state;
    AUTO_FREE char *image = zmalloc(LARGE);
    batch_add(f->batch, run_large, done_large, image);
    batch_commit(f->batch);
    msg_containers_t page;
    msg_container_list_t ask = {.all = true};
    size_t seen = 0, pages = 0, empty = 0;
    do {
        list_filtered(f, "image==yes", &ask, &page);
        seen += page.containers.count;
        empty += !page.containers.count;
        pages++;
    } while (ask.after);
    assert_int_equal(seen, 2);
    assert_int_equal(pages, 60 / (CONTAINERS_SCAN_BYTES / LARGE) + 1);
    assert_int_equal(empty, 1);
}

static void test_namespace_filters(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_namespaces_t answer;
    msg_label_t label = {"tier", "web"};
    msg_namespace_create_t make = {.name = "b", .labels = {.items = &label, .count = 1}};
    msg_namespace_t made;
    fixture_container(f, "a", "c");
    assert_int_equal(fixture_write(f, namespaces_create, NULL, &make, &made, sizeof made, &st), 0);
    const char *filters[] = {"labels.tier==web", "name==none"};
    msg_namespace_list_t ask = {.filters = {.items = filters, .count = 2}};
    assert_int_equal(fixture_read(f, namespaces_list, NULL, &ask, &answer, sizeof answer, &st), 0);
    assert_int_equal(answer.namespaces.count, 1);
    assert_string_equal(answer.namespaces.items[0].name, "b");
    filters[1] = "name~=(";
    assert_int_equal(fixture_read(f, namespaces_list, NULL, &ask, &answer, sizeof answer, &st),
                     STATUS_INVALID_ARGUMENT);
    msg_containers_t page;
    msg_container_list_t containers = {.all = true, .filters = ask.filters};
    assert_int_equal(fixture_read(f, containers_list, NULL, &containers, &page, sizeof page, &st),
                     STATUS_INVALID_ARGUMENT);
}

/* Requests --------------------------------------------------------------------------------------
 */

static msg_request_record_t record_of(uint8_t number)
{
    msg_request_record_t record = {
        .method = "task.kill", .ns = "default", .status = 5, .message = "task x: not found"};
    memset(record.id.bytes, number, sizeof record.id.bytes);
    return record;
}

static void test_outcomes(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_outcome_t outcome;
    msg_peer_t peer = {.pid = 1, .uid = 2, .gid = 3};
    msg_request_record_t record = record_of(7);
    record.peer = &peer;
    msg_request_get_t get = {.id = record.id};
    assert_int_equal(fixture_read(f, requests_get, NULL, &get, &outcome, sizeof outcome, &st),
                     STATUS_NOT_FOUND);
    assert_string_equal(st.text, "request 07070707-0707-0707-0707-070707070707: not found");
    f->now = 1000;
    assert_int_equal(fixture_write(f, requests_record, NULL, &record, NULL, 0, &st), STATUS_OK);
    record.status = 0; /* what was answered first stays */
    assert_int_equal(fixture_write(f, requests_record, NULL, &record, NULL, 0, &st), STATUS_OK);
    assert_int_equal(fixture_read(f, requests_get, NULL, &get, &outcome, sizeof outcome, &st),
                     STATUS_OK);
    assert_int_equal(outcome.status, 5);
    assert_string_equal(outcome.message, "task x: not found");
    assert_string_equal(outcome.state, "done");
    assert_int_equal(outcome.time, 1000);
    assert_int_equal(outcome.peer->uid, 2);
}

static void test_outcomes_expire(void **state)
{
    fixture_t *f = *state;
    status_t st;
    msg_outcome_t outcome;
    for (uint8_t i = 1; i <= 20; i++) {
        msg_request_record_t record = record_of(i);
        f->now = 1000 + i;
        fixture_write(f, requests_record, NULL, &record, NULL, 0, &st);
    }
    msg_request_record_t record = record_of(30);
    f->now = 1005 + REQUESTS_KEEP_NS; /* of 5 the day is full, not over */
    fixture_write(f, requests_record, NULL, &record, NULL, 0, &st);
    assert_int_equal(fixture_count(f, TABLE_REQUESTS), 17);
    msg_request_get_t get = {.id = record_of(5).id};
    assert_int_equal(fixture_read(f, requests_get, NULL, &get, &outcome, sizeof outcome, &st),
                     STATUS_OK);
    record = record_of(31);
    f->now = 1000000 + REQUESTS_KEEP_NS;
    fixture_write(f, requests_record, NULL, &record, NULL, 0, &st);
    assert_int_equal(fixture_count(f, TABLE_REQUESTS), 17 + 1 - 4); /* a few at a time */
    assert_int_equal(fixture_count(f, TABLE_EXPIRY), fixture_count(f, TABLE_REQUESTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_namespace_life, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_namespace_with_containers_stays, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_container_life, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_container_checks),
        cmocka_unit_test_setup_teardown(test_container_too_large, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_container_pages, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_container_filters, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_container_filters_are_bounded, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_namespace_filters, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_outcomes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_outcomes_expire, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
