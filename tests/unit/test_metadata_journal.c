/* The journal: contiguous numbers, pages by number, time and namespace, and what is refused. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"

#include <string.h>

static status_code_t publish_at(fixture_t *f, const char *ns, int64_t time, uint64_t *seq)
{
    msg_event_publish_t ask = {.topic = "/my/topic",
                               .type = "my.Type",
                               .event = {.data = (const uint8_t *)"\x81\xa1k\xa1v", .size = 5}};
    msg_event_seq_t answer;
    status_t st;
    f->now = time;
    assert_int_equal(journal_check_publish(&ask, &st), STATUS_OK);
    fixture_write(f, journal_publish, ns, &ask, &answer, sizeof answer, &st);
    *seq = answer.seq;
    return st.code;
}

/* Event n has time n * 1000 s; every third is in namespace "other". */
static void publish_many(fixture_t *f, size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        uint64_t seq;
        assert_int_equal(
            publish_at(f, i % 3 ? "default" : "other", (int64_t)i * 1000 * 1000000000, &seq),
            STATUS_OK);
        assert_int_equal(seq, i);
    }
}

static msgpack_object list(fixture_t *f, const char *ns, msg_event_list_t ask,
                           msg_event_page_t *page)
{
    status_t st;
    assert_int_equal(fixture_read(f, journal_list, ns, &ask, page, sizeof *page, &st), STATUS_OK);
    msgpack_object events;
    size_t offset = 0;
    assert_true(msgpack_unpack((const char *)page->events.data, page->events.size, &offset, f->zone,
                               &events) > 0);
    return events;
}

static uint64_t number(const msgpack_object *events, size_t i, const char *name)
{
    return fixture_field(&events->via.array.ptr[i], name)->via.u64;
}

static void test_numbers_are_contiguous(void **state)
{
    fixture_t *f = *state;
    publish_many(f, 9);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    uint64_t seq;
    publish_at(f, "other", 1, &seq);
    assert_int_equal(seq, 10);
    msgpack_object events = fixture_journal(f);
    assert_int_equal(events.via.array.size, 10);
    uint64_t in_default = 0, in_other = 0;
    for (size_t i = 0; i < 10; i++) {
        const msgpack_object *event = &events.via.array.ptr[i];
        assert_int_equal(number(&events, i, "seq"), i + 1);
        uint64_t *last = fixture_is(event, "ns", "other") ? &in_other : &in_default;
        assert_int_equal(number(&events, i, "ns_seq"), ++*last);
        assert_true(fixture_is(event, "topic", "/my/topic"));
        assert_true(fixture_is(event, "type", "my.Type"));
        assert_true(fixture_is(event, "origin", "client"));
        assert_true(fixture_is(event, "incarnation", ""));
        assert_true(fixture_is(fixture_field(event, "event"), "k", "v"));
        assert_null(fixture_field(event, "raw"));
    }
    assert_string_equal(f->published[0], "default/my/topic");
    assert_string_equal(f->published[2], "other/my/topic");
}

static void test_empty_journal(void **state)
{
    fixture_t *f = *state;
    msg_event_page_t page;
    msgpack_object events = list(f, NULL, (msg_event_list_t){.all = true}, &page);
    assert_int_equal(events.via.array.size, 0);
    assert_int_equal(page.first, 0);
    assert_int_equal(page.last, 0);
    assert_int_equal(page.next, 1);
    assert_false(page.gap);
}

static void test_pages(void **state)
{
    fixture_t *f = *state;
    publish_many(f, 20);
    msg_event_page_t page;
    uint64_t since = 0, expected = 1;
    for (;;) {
        msgpack_object events =
            list(f, NULL, (msg_event_list_t){.all = true, .since = since, .limit = 7}, &page);
        for (uint32_t i = 0; i < events.via.array.size; i++)
            assert_int_equal(number(&events, i, "seq"), expected++);
        since = page.next;
        if (page.next > page.last)
            break;
        assert_int_equal(events.via.array.size, 7);
    }
    assert_int_equal(expected, 21);
    assert_int_equal(page.first, 1);
    assert_int_equal(page.last, 20);
    assert_int_equal(since, 21);
}

static void test_namespace_and_until(void **state)
{
    fixture_t *f = *state;
    publish_many(f, 20);
    msg_event_page_t page;
    msgpack_object events = list(f, "other", (msg_event_list_t){.since = 4, .until = 12}, &page);
    assert_int_equal(events.via.array.size, 3);
    assert_int_equal(number(&events, 0, "seq"), 6);
    assert_int_equal(number(&events, 2, "seq"), 12);
    assert_int_equal(page.next, 13);

    status_t st;
    msg_event_list_t ask = {.since = 1};
    assert_int_equal(fixture_read(f, journal_list, NULL, &ask, &page, sizeof page, &st),
                     STATUS_INVALID_ARGUMENT);
}

static void test_since_time(void **state)
{
    fixture_t *f = *state;
    publish_many(f, 50);
    uint64_t seq;
    /* A shim's event that arrives late, with the time at which it happened. */
    publish_at(f, "default", (int64_t)50 * 1000 * 1000000000 - 1, &seq);
    msg_event_page_t page;
    int64_t since = (int64_t)50 * 1000 * 1000000000 - 1;
    msgpack_object events =
        list(f, NULL, (msg_event_list_t){.all = true, .since_time = since}, &page);
    assert_int_equal(events.via.array.size, 2);
    assert_int_equal(number(&events, 0, "seq"), 50);
    assert_int_equal(number(&events, 1, "seq"), 51);
    events = list(f, NULL, (msg_event_list_t){.all = true, .since_time = 1}, &page);
    assert_int_equal(events.via.array.size, 51);
    events = list(f, NULL, (msg_event_list_t){.all = true, .since_time = INT64_MAX}, &page);
    assert_int_equal(events.via.array.size, 0);
    assert_int_equal(page.next, 52);
}

static void test_filters(void **state)
{
    fixture_t *f = *state;
    publish_many(f, 20);
    msg_event_page_t page;
    /* Event n has time n * 1000 s and comes from namespace "other" when n is divisible by 3. */
    const char *filters[] = {"namespace==other,seq>10,time<=18000", "event.k==none", "seq==1"};
    msg_event_list_t ask = {.all = true, .limit = 2, .filters = {.items = filters, .count = 3}};
    uint64_t expected[] = {1, 12, 15, 18}, seen = 0;
    do {
        msgpack_object events = list(f, NULL, ask, &page);
        for (uint32_t i = 0; i < events.via.array.size; i++)
            assert_int_equal(number(&events, i, "seq"), expected[seen++]);
        assert_true(page.next > ask.since);
        ask.since = page.next;
    } while (page.next <= page.last);
    assert_int_equal(seen, 4);

    status_t st;
    filters[2] = "seq==";
    assert_int_equal(fixture_read(f, journal_list, NULL, &ask, &page, sizeof page, &st),
                     STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "filters: parse error: [seq==]: expected value or quoted");
}

static void done_large(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static void run_many(void *arg, txn_t *txn)
{
    (void)arg;
    for (int i = 0; i < JOURNAL_SCAN_MAX + 5; i++)
        journal_append(txn,
                       &(journal_event_t){.ns = "default",
                                          .topic = i < JOURNAL_SCAN_MAX ? "/x" : "/y",
                                          .type = "t",
                                          .origin = "client",
                                          .incarnation = "",
                                          .time = 1,
                                          .event = {.data = (const uint8_t *)"\x80", .size = 1}});
}

/* One answer looks at so many events and no more; the next one goes on from there. */
static void test_filters_are_bounded(void **state)
{
    fixture_t *f = *state;
    batch_add(f->batch, run_many, done_large, NULL);
    batch_commit(f->batch);
    const char *filter = "topic~=y";
    msg_event_page_t page;
    msg_event_list_t ask = {.all = true, .filters = {.items = &filter, .count = 1}};
    msgpack_object events = list(f, NULL, ask, &page);
    assert_int_equal(events.via.array.size, 0);
    assert_int_equal(page.next, JOURNAL_SCAN_MAX + 1);
    ask.since = page.next;
    events = list(f, NULL, ask, &page);
    assert_int_equal(events.via.array.size, 5);
    assert_int_equal(page.next, page.last + 1);
}

static void test_gap(void **state)
{
    fixture_t *f = *state;
    publish_many(f, 5);
    int error;
    txn_t *txn = txn_write(f->store, &error);
    for (uint64_t seq = 1; seq <= 3; seq++)
        assert_true(txn_delete(txn, TABLE_JOURNAL, &seq, sizeof seq));
    news_t *news;
    assert_int_equal(txn_commit(&txn, &news), 0);
    msg_event_page_t page;
    list(f, NULL, (msg_event_list_t){.all = true, .since = 2}, &page);
    assert_true(page.gap);
    assert_int_equal(page.first, 4);
    list(f, NULL, (msg_event_list_t){.all = true, .since = 4}, &page);
    assert_false(page.gap);
}

static void run_large(void *arg, txn_t *txn)
{
    const msg_bytes_t *raw = arg;
    journal_append(txn, &(journal_event_t){.ns = "default",
                                           .topic = "/x",
                                           .type = "unknown.Type",
                                           .origin = "shim",
                                           .incarnation = "",
                                           .time = 1,
                                           .raw = *raw});
}

static void test_pages_are_bounded_in_bytes(void **state)
{
    fixture_t *f = *state;
    AUTO_FREE uint8_t *data = zmalloc(JOURNAL_EVENT_MAX);
    msg_bytes_t raw = {.data = data, .size = JOURNAL_EVENT_MAX};
    for (int i = 0; i < 5; i++)
        batch_add(f->batch, run_large, done_large, &raw);
    batch_commit(f->batch);
    msg_event_page_t page;
    uint64_t since = 0, seen = 0;
    do {
        msgpack_object events =
            list(f, NULL, (msg_event_list_t){.all = true, .since = since}, &page);
        assert_in_range(events.via.array.size, 1, 4);
        assert_true(page.events.size < MSG_BODY_MAX);
        assert_int_equal(fixture_field(&events.via.array.ptr[0], "raw")->via.bin.size,
                         JOURNAL_EVENT_MAX);
        seen += events.via.array.size;
        since = page.next;
    } while (page.next <= page.last);
    assert_int_equal(seen, 5);
}

static void test_topics(void **state)
{
    (void)state;
    static const char *const good[] = {"/a", "/tasks/exec-added", "/a/b/c.d_e"};
    static const char *const bad[] = {"", "/", "a", "//a", "/a/", "/a//b", "/a b", "/-a", "/a/\n"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(journal_is_topic(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(journal_is_topic(bad[i]));
}

static void test_refused_events(void **state)
{
    (void)state;
    status_t st;
    msg_event_publish_t ask = {
        .topic = "a", .type = "t", .event = {.data = (const uint8_t *)"\x80", .size = 1}};
    assert_int_equal(journal_check_publish(&ask, &st), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "topic \"a\" must start with '/'");
    ask.topic = "/a";
    assert_int_equal(journal_check_publish(&ask, &st), STATUS_OK);
    ask.event = (msg_bytes_t){.data = (const uint8_t *)"\x01", .size = 1};
    assert_int_equal(journal_check_publish(&ask, &st), STATUS_INVALID_ARGUMENT);
    /* Depth: a map of arrays in each other. */
    uint8_t deep[JOURNAL_DEPTH_MAX + 3] = {0x81, 0xa1, 'k'};
    memset(deep + 3, 0x91, JOURNAL_DEPTH_MAX - 1);
    deep[JOURNAL_DEPTH_MAX + 2] = 0x01;
    ask.event = (msg_bytes_t){.data = deep, .size = sizeof deep};
    assert_int_equal(journal_check_publish(&ask, &st), STATUS_OK);
    deep[JOURNAL_DEPTH_MAX + 2] = 0x90;
    assert_int_equal(journal_check_publish(&ask, &st), STATUS_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_are_contiguous, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_empty_journal, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pages, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_namespace_and_until, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_since_time, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_filters, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_filters_are_bounded, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_gap, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pages_are_bounded_in_bytes, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_refused_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
