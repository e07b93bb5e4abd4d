/* Subscribers: where they begin, that they only go forward, what is refused, limits, expiry. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/subscribers.h"

#include <string.h>

#define SECOND ((int64_t)1000000000)

/* Event n has time n * 1000 s; every third is in namespace "other". */
static void publish_many(fixture_t *f, size_t from, size_t to)
{
    for (size_t i = from; i <= to; i++) {
        const msg_event_publish_t ask = {.topic = i % 2 ? "/odd" : "/even",
                                         .type = "my.Type",
                                         .event = {.data = (const uint8_t *)"\x80", .size = 1}};
        msg_event_seq_t answer;
        status_t st;
        f->now = (int64_t)i * 1000 * SECOND;
        assert_int_equal(fixture_write(f, journal_publish, i % 3 ? "default" : "other", &ask,
                                       &answer, sizeof answer, &st),
                         STATUS_OK);
    }
}

static status_code_t subscribe(fixture_t *f, const char *ns, msg_event_subscribe_t ask,
                               msg_subscriber_t *ret, status_t *st)
{
    if (subscribers_check(&ask, st))
        return st->code;
    return fixture_write(f, subscribers_subscribe, ns, &ask, ret, sizeof *ret, st);
}

static uint64_t start_of(fixture_t *f, msg_event_subscribe_t ask)
{
    static int number;
    msg_subscriber_t made;
    status_t st;
    AUTO_FREE char *name = util_format("start%d", number++);
    ask.name = name;
    ask.all = true;
    assert_int_equal(subscribe(f, NULL, ask, &made, &st), STATUS_OK);
    return made.acked + 1;
}

static status_code_t ack(fixture_t *f, const char *ns, const char *name, uint64_t seq,
                         uint64_t *ret, status_t *st)
{
    const msg_event_ack_t ask = {.name = name, .all = !ns, .seq = seq};
    msg_event_seq_t answer;
    fixture_write(f, subscribers_ack, ns, &ask, &answer, sizeof answer, st);
    *ret = answer.seq;
    return st->code;
}

/* Sequence numbers of a page, as text. */
static const char *page_of(fixture_t *f, const char *space, const char *name, uint64_t after,
                           uint32_t limit, msg_event_page_t *page)
{
    static char text[256];
    msg_subscriber_t record;
    msgpack_object events;
    size_t offset = 0;
    status_t st;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    assert_non_null(txn);
    assert_true(subscribers_get(txn, space, name, f->zone, &record, &st));
    assert_int_equal(subscribers_page(txn, &record, after, limit, f->zone, page, &st), STATUS_OK);
    assert_true(msgpack_unpack((const char *)page->events.data, page->events.size, &offset, f->zone,
                               &events) > 0);
    text[0] = '\0';
    for (uint32_t i = 0; i < events.via.array.size; i++) {
        size_t size = strlen(text);
        snprintf(text + size, sizeof text - size, "%s%d", i ? " " : "",
                 (int)fixture_field(&events.via.array.ptr[i], "seq")->via.u64);
    }
    return text;
}

static void trim(fixture_t *f, uint64_t to)
{
    int error;
    news_t *news;
    txn_t *txn = txn_write(f->store, &error);
    for (uint64_t seq = 1; seq <= to; seq++)
        txn_delete(txn, TABLE_JOURNAL, &seq, sizeof seq);
    assert_int_equal(txn_commit(&txn, &news), 0);
}

static void test_begin(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(start_of(f, (msg_event_subscribe_t){0}), 1);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.oldest = true}), 1);
    publish_many(f, 1, 20);
    trim(f, 4);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){0}), 21);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.oldest = true}), 5);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.since = 2}), 2);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.since = 21}), 21);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.since_time = 12000 * SECOND}), 12);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.since_time = 12000 * SECOND + 1}), 13);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.since_time = 1}), 5);
    assert_int_equal(start_of(f, (msg_event_subscribe_t){.since_time = INT64_MAX}), 21);
}

static void test_refused(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made;
    status_t st;
    publish_many(f, 1, 3);
    assert_int_equal(
        subscribe(f, "ns", (msg_event_subscribe_t){.name = "a", .since = 5}, &made, &st),
        STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "event.subscribe: since is 5, the journal ends with 3");
    assert_int_equal(subscribe(f, "ns",
                               (msg_event_subscribe_t){.name = "a", .since = 1, .oldest = true},
                               &made, &st),
                     STATUS_INVALID_ARGUMENT);
    assert_int_equal(subscribe(f, NULL, (msg_event_subscribe_t){.name = "a"}, &made, &st),
                     STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "event.subscribe: namespace is missing");

    const char *wrong = "topic==";
    msg_event_subscribe_t ask = {.name = "a", .filters = {.items = &wrong, .count = 1}};
    assert_int_equal(subscribe(f, "ns", ask, &made, &st), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "filters: parse error: [topic==]: expected value or quoted");

    static char large[SUBSCRIBERS_FILTER_BYTES / 2 + 2];
    const char *both[] = {large, large};
    memset(large, 'a', sizeof large - 1);
    ask.filters = (msg_texts_t){.items = both, .count = 2};
    assert_int_equal(subscribe(f, "ns", ask, &made, &st), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text,
                        "event.subscribe: filters are 8194 bytes long together, limit 8192");
    assert_int_equal(fixture_count(f, TABLE_SUBSCRIBERS), 0);
}

static void test_found_as_it_is(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made, found;
    status_t st;
    const char *filters[] = {"topic==\"/odd\"", "seq==2"};
    msg_event_subscribe_t ask = {.name = "a", .filters = {.items = filters, .count = 2}};
    publish_many(f, 1, 3);
    assert_int_equal(subscribe(f, "default", ask, &made, &st), STATUS_OK);
    publish_many(f, 4, 6);
    assert_int_equal(subscribe(f, "default", ask, &found, &st), STATUS_OK);
    assert_int_equal(found.acked, 3);
    assert_int_equal(found.last, 6);
    assert_int_equal(found.created_at, made.created_at);
    assert_int_equal(found.used_at, f->now);
    ask.filters.count = 0;
    ask.oldest = true;
    assert_int_equal(subscribe(f, "default", ask, &found, &st), STATUS_OK);
    assert_int_equal(found.acked, 3);
    assert_int_equal(found.filters.count, 2);
    ask.filters.count = 1;
    assert_int_equal(subscribe(f, "default", ask, &found, &st), STATUS_ALREADY_EXISTS);

    /* The same name elsewhere is another one. */
    ask.filters.count = 0;
    assert_int_equal(subscribe(f, "other", ask, &found, &st), STATUS_OK);
    assert_int_equal(found.acked, 0);
    ask.all = true;
    assert_int_equal(subscribe(f, "default", ask, &found, &st), STATUS_OK);
    assert_null(found.ns);
    assert_int_equal(fixture_count(f, TABLE_SUBSCRIBERS), 3);
}

static void test_only_forward(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made;
    status_t st;
    uint64_t acked;
    publish_many(f, 1, 9);
    subscribe(f, NULL, (msg_event_subscribe_t){.name = "a", .all = true, .oldest = true}, &made,
              &st);
    f->delivered = 6;
    assert_int_equal(ack(f, NULL, "a", 5, &acked, &st), STATUS_OK);
    assert_int_equal(acked, 5);
    assert_int_equal(ack(f, NULL, "a", 3, &acked, &st), STATUS_OK);
    assert_int_equal(acked, 5);
    assert_int_equal(ack(f, NULL, "a", 7, &acked, &st), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "event.ack: seq is 7, subscriber a was given up to 6");
    assert_int_equal(ack(f, NULL, "a", UINT64_MAX, &acked, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(ack(f, "default", "a", 1, &acked, &st), STATUS_NOT_FOUND);
    assert_string_equal(st.text, "subscriber a: not found in namespace default");
    assert_int_equal(ack(f, NULL, "a", 6, &acked, &st), STATUS_OK);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    msg_event_page_t page;
    assert_string_equal(page_of(f, "", "a", 0, 0, &page), "7 8 9");
}

static void test_pages(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made;
    msg_event_page_t page;
    status_t st;
    const char *filter = "topic==\"/odd\"";
    msg_event_subscribe_t ask = {.name = "a", .oldest = true};
    publish_many(f, 1, 20);
    subscribe(f, "other", ask, &made, &st);
    assert_string_equal(page_of(f, "other", "a", 0, 3, &page), "3 6 9");
    assert_string_equal(page_of(f, "other", "a", 9, 0, &page), "12 15 18");
    assert_int_equal(page.next, 21);
    ask.filters = (msg_texts_t){.items = &filter, .count = 1};
    ask.all = true;
    subscribe(f, NULL, ask, &made, &st);
    assert_string_equal(page_of(f, "", "a", 11, 0, &page), "13 15 17 19");
    assert_int_equal(page.next, 21);
    assert_false(page.gap);
}

static void test_gap(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made;
    msg_event_page_t page;
    status_t st;
    uint64_t acked;
    publish_many(f, 1, 10);
    subscribe(f, NULL, (msg_event_subscribe_t){.name = "a", .all = true, .oldest = true}, &made,
              &st);
    assert_false(made.gap);
    f->delivered = 10;
    ack(f, NULL, "a", 2, &acked, &st);
    trim(f, 5);
    assert_string_equal(page_of(f, "", "a", 0, 0, &page), "6 7 8 9 10");
    assert_true(page.gap);
    assert_int_equal(page.first, 6);
    msg_subscribers_t list;
    const msg_event_subscribers_t all = {.all = true};
    fixture_read(f, subscribers_list, NULL, &all, &list, sizeof list, &st);
    assert_true(list.subscribers.items[0].gap);
    ack(f, NULL, "a", 5, &acked, &st);
    assert_string_equal(page_of(f, "", "a", 0, 0, &page), "6 7 8 9 10");
    assert_false(page.gap);
}

static void test_list_and_unsubscribe(void **state)
{
    fixture_t *f = *state;
    static const char *const spaces[] = {"", "a", "ab", "a"};
    static const char *const names[] = {"x", "y", "x", "x"};
    msg_subscriber_t made;
    msg_subscribers_t list;
    status_t st;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        subscribe(f, spaces[i], (msg_event_subscribe_t){.name = names[i], .all = !*spaces[i]},
                  &made, &st);
    msg_event_subscribers_t ask = {.all = false};
    fixture_read(f, subscribers_list, "a", &ask, &list, sizeof list, &st);
    assert_int_equal(list.subscribers.count, 2);
    assert_string_equal(list.subscribers.items[0].name, "x");
    assert_string_equal(list.subscribers.items[1].name, "y");
    assert_int_equal(fixture_read(f, subscribers_list, NULL, &ask, &list, sizeof list, &st),
                     STATUS_INVALID_ARGUMENT);
    ask.all = true;
    fixture_read(f, subscribers_list, NULL, &ask, &list, sizeof list, &st);
    assert_int_equal(list.subscribers.count, 4);
    assert_null(list.subscribers.items[0].ns);
    assert_string_equal(list.subscribers.items[3].ns, "ab");

    const msg_event_unsubscribe_t gone = {.name = "x"};
    msg_container_t nothing;
    assert_int_equal(
        fixture_write(f, subscribers_unsubscribe, "a", &gone, &nothing, sizeof nothing, &st),
        STATUS_OK);
    assert_int_equal(
        fixture_write(f, subscribers_unsubscribe, "a", &gone, &nothing, sizeof nothing, &st),
        STATUS_NOT_FOUND);
    assert_int_equal(fixture_count(f, TABLE_SUBSCRIBERS), 3);
}

static void test_limit(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made;
    status_t st;
    for (int i = 0; i < SUBSCRIBERS_MAX; i++) {
        AUTO_FREE char *name = util_format("s%d", i);
        assert_int_equal(
            subscribe(f, i % 2 ? "a" : "b", (msg_event_subscribe_t){.name = name}, &made, &st),
            STATUS_OK);
    }
    assert_int_equal(subscribe(f, "c", (msg_event_subscribe_t){.name = "s"}, &made, &st),
                     STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(st.text,
                        "subscriber s: there are 256 already, the limit: event.unsubscribe one");
    assert_int_equal(subscribe(f, "a", (msg_event_subscribe_t){.name = "s1"}, &made, &st),
                     STATUS_OK);
}

static void expire(fixture_t *f, int64_t oldest, size_t expected)
{
    int error;
    news_t *news;
    txn_t *txn = txn_write(f->store, &error);
    assert_int_equal(subscribers_expire(txn, oldest), expected);
    assert_int_equal(txn_commit(&txn, &news), 0);
}

static void test_expiry(void **state)
{
    fixture_t *f = *state;
    msg_subscriber_t made;
    status_t st;
    uint64_t acked;
    publish_many(f, 1, 5);
    static const char *const names[] = {"a", "b", "c", "d"};
    f->now = 1000;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        subscribe(f, "ns", (msg_event_subscribe_t){.name = names[i], .oldest = true}, &made, &st);
    f->delivered = 5;
    f->now = 2000;
    ack(f, "ns", "b", 5, &acked, &st);
    subscribe(f, "ns", (msg_event_subscribe_t){.name = "d"}, &made, &st);
    int error;
    news_t *news;
    txn_t *txn = txn_write(f->store, &error);
    subscribers_touch(txn, "ns", "c", 2000);
    subscribers_touch(txn, "ns", "nobody", 2000);
    assert_int_equal(txn_commit(&txn, &news), 0);
    expire(f, 1000, 0);
    expire(f, 1500, 1);
    assert_int_equal(fixture_count(f, TABLE_SUBSCRIBERS), 3);
    expire(f, 3000, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_begin),
        TEST(test_refused),
        TEST(test_found_as_it_is),
        TEST(test_only_forward),
        TEST(test_pages),
        TEST(test_gap),
        TEST(test_list_and_unsubscribe),
        TEST(test_limit),
        TEST(test_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
