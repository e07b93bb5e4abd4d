/* What the journal keeps, and what readers are told of the rest. */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/retention.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECOND ((int64_t)1000000000)
#define NOW    (1000000 * SECOND)
#define DAY    86400

/* Acting ----------------------------------------------------------------------------------------
 */

typedef struct batch_of {
    const char *ns;
    size_t count;
    int64_t time;
} batch_of_t;

static void run_append(void *arg, txn_t *txn)
{
    const batch_of_t *what = arg;
    static const uint8_t fields[] = "\x81\xa1k\xd9\xc8"
                                    "0123456789012345678901234567890123456789"
                                    "0123456789012345678901234567890123456789"
                                    "0123456789012345678901234567890123456789"
                                    "0123456789012345678901234567890123456789"
                                    "0123456789012345678901234567890123456789";
    for (size_t i = 0; i < what->count; i++)
        journal_append(txn, &(journal_event_t){.ns = what->ns,
                                               .topic = "/a/b",
                                               .type = "t",
                                               .origin = JOURNAL_ORIGIN_CLIENT,
                                               .incarnation = "",
                                               .time = what->time,
                                               .event = {fields, sizeof fields - 1}});
}

static void check_done(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static void append(fixture_t *f, const char *ns, size_t count, int64_t time)
{
    batch_of_t what = {.ns = ns, .count = count, .time = time};
    batch_add(f->batch, run_append, check_done, &what);
    batch_commit(f->batch);
}

typedef struct piece {
    const retention_t *retention;
    int64_t now;
    size_t budget;
    bool has_more;
} piece_t;

static void run_trim(void *arg, txn_t *txn)
{
    piece_t *self = arg;
    self->has_more = retention_trim(txn, self->retention, self->now, self->budget);
}

static bool is_due(fixture_t *f, const retention_t *retention, int64_t now)
{
    status_t st;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    assert_non_null(txn);
    return retention_is_due(txn, retention, now);
}

/* Returns how many pieces it took. */
static size_t trim(fixture_t *f, const retention_t *retention, int64_t now, size_t budget)
{
    piece_t piece = {.retention = retention, .now = now, .budget = budget};
    size_t count = 0;
    while (is_due(f, retention, now)) {
        size_t before = fixture_count(f, TABLE_JOURNAL);
        batch_add(f->batch, run_trim, check_done, &piece);
        batch_commit(f->batch);
        assert_true(before - fixture_count(f, TABLE_JOURNAL) <= budget * (retention->count + 1));
        count++;
        assert_true(count < 10000);
    }
    return count;
}

static retention_t limits(int max_age, int max_events)
{
    return (retention_t){.rest = {.max_age = max_age, .max_events = max_events}, .max_size = 1000};
}

static void add_rule(retention_t *self, const char *ns, int max_age, int max_events)
{
    retention_rule_t *rule = &self->rules[self->count++];
    rule->limits = (retention_limits_t){.max_age = max_age, .max_events = max_events};
    snprintf(rule->ns, sizeof rule->ns, "%s", ns);
}

static msg_event_page_t list(fixture_t *f, const char *ns, uint64_t since, int64_t since_time)
{
    status_t st;
    msg_event_page_t page;
    msg_event_list_t ask = {.all = !ns, .since = since, .since_time = since_time, .limit = 10000};
    assert_int_equal(fixture_read(f, journal_list, ns, &ask, &page, sizeof page, &st), STATUS_OK);
    return page;
}

static size_t count_in(fixture_t *f, const char *ns)
{
    msg_event_page_t page = list(f, ns, 0, 0);
    msgpack_object events;
    size_t at = 0;
    assert_true(msgpack_unpack((const char *)page.events.data, page.events.size, &at, f->zone,
                               &events) > 0);
    return events.via.array.size;
}

/* Limits ----------------------------------------------------------------------------------------
 */

static void test_count(void **state)
{
    fixture_t *f = *state;
    retention_t retention = limits(DAY, 100);
    assert_int_equal(trim(f, &retention, NOW, 10), 0);
    append(f, "default", 100, NOW);
    trim(f, &retention, NOW, 10);
    assert_int_equal(fixture_count(f, TABLE_JOURNAL), 100);
    append(f, "default", 50, NOW);
    assert_true(trim(f, &retention, NOW, 10) >= 5);
    msg_event_page_t page = list(f, "default", 0, 0);
    assert_int_equal(page.first, 51);
    assert_int_equal(page.last, 150);
    assert_int_equal(page.gone, 50);
    assert_false(page.gap);
    assert_true(list(f, "default", 50, 0).gap);
    assert_false(list(f, "default", 51, 0).gap);
    assert_false(is_due(f, &retention, NOW));
}

static void test_age(void **state)
{
    fixture_t *f = *state;
    retention_t retention = limits(10, 1000);
    append(f, "default", 20, NOW - 20 * SECOND);
    append(f, "default", 20, NOW - 5 * SECOND);
    trim(f, &retention, NOW, 7);
    assert_int_equal(list(f, NULL, 0, 0).first, 21);
    assert_true(list(f, NULL, 0, NOW - 20 * SECOND).gap);
    assert_false(list(f, NULL, 0, NOW - 19 * SECOND).gap);
    /* The newest stays: numbers go on behind it. */
    trim(f, &retention, NOW + 100 * SECOND, 7);
    assert_int_equal(list(f, NULL, 0, 0).first, 40);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    append(f, "default", 1, NOW);
    assert_int_equal(list(f, NULL, 0, 0).last, 41);
}

static void run_mend(void *arg, txn_t *txn)
{
    for (uint64_t seq = 30; seq < 60; seq++)
        txn_delete(txn, TABLE_JOURNAL, &seq, sizeof seq);
    assert_int_equal(mend_gaps(txn, 1, *(const uint64_t *)arg, 1000), 101);
}

/* What stands in the place of lost events goes with those around it. */
static void test_marks_of_lost_events_age(void **state)
{
    fixture_t *f = *state;
    uint64_t last = 100;
    retention_t retention = limits(100, 1000);
    append(f, "a", 99, NOW - 200 * SECOND);
    append(f, "a", 1, NOW);
    batch_add(f->batch, run_mend, check_done, &last);
    batch_commit(f->batch);
    assert_int_equal(fixture_count(f, TABLE_JOURNAL), 100);
    trim(f, &retention, NOW, 1000);
    assert_int_equal(fixture_count(f, TABLE_JOURNAL), 1);
}

/* Fewer events than would be kept are too large together; those with limits of their own stay. */
static void test_size(void **state)
{
    enum { MIB = 1 << 20, ALL = 6000 };
    fixture_t *f = *state;
    retention_t retention = limits(DAY, 1000000);
    add_rule(&retention, "own", DAY, ALL);
    retention.max_size = 1;
    append(f, "own", 100, NOW);
    append(f, "default", ALL, NOW);
    assert_true(trim(f, &retention, NOW, 200) > 5);
    status_t st;
    store_sizes_t sizes;
    AUTO(txn)
    txn = txn_read(f->store, &st);
    txn_measure(txn, &sizes);
    assert_in_range(sizes.tables[TABLE_JOURNAL].bytes, MIB * 3 / 4, MIB);
    assert_int_equal(count_in(f, "own"), 100);
    msg_event_page_t page = list(f, "default", 1, 0);
    assert_true(page.gap);
    retention.max_size = 1000;
    assert_int_equal(trim(f, &retention, NOW, 200), 0);
}

static void test_times_that_cannot_be(void **state)
{
    fixture_t *f = *state;
    retention_t retention = limits(10, 1000);
    append(f, "default", 3, NOW + DAY * SECOND); /* a clock that was wrong */
    append(f, "default", 3, NOW - 20 * SECOND);
    append(f, "default", 2, NOW + DAY * SECOND);
    append(f, "default", 3, NOW);
    trim(f, &retention, NOW, 100);
    assert_int_equal(list(f, NULL, 0, 0).first, 7);
    assert_false(list(f, NULL, 0, NOW - 19 * SECOND).gap);
}

static void test_a_namespace_of_its_own(void **state)
{
    fixture_t *f = *state;
    retention_t retention = limits(DAY, 40);
    add_rule(&retention, "build", DAY, 10);
    add_rule(&retention, "audit", 100 * DAY, 1000);
    for (int i = 0; i < 10; i++) {
        append(f, "audit", 5, NOW - 2 * DAY * SECOND);
        append(f, "build", 5, NOW);
        append(f, "default", 5, NOW);
        append(f, "other", 5, NOW);
    }
    trim(f, &retention, NOW, 16);
    assert_int_equal(count_in(f, "audit"), 50);
    assert_int_equal(count_in(f, "build"), 10);
    assert_int_equal(count_in(f, "default") + count_in(f, "other"), 40);
    assert_int_equal(list(f, "audit", 0, 0).gone, 0);
    assert_false(list(f, "audit", 1, 0).gap);
    assert_true(list(f, "build", 1, 0).gap);
    uint64_t gone = list(f, "build", 0, 0).gone;
    assert_true(list(f, "build", gone, 0).gap);
    assert_false(list(f, "build", gone + 1, 0).gap);
    assert_int_equal(list(f, NULL, 0, 0).gone, gone);
    append(f, "audit", 1, NOW);
    append(f, "build", 7, NOW);
    append(f, "default", 1, NOW);
    trim(f, &retention, NOW, 16);
    assert_int_equal(count_in(f, "build"), 10);
    assert_int_equal(count_in(f, "default") + count_in(f, "other"), 40);
}

static void test_other_rules(void **state)
{
    fixture_t *f = *state;
    retention_t one = limits(DAY, 10), other = limits(DAY, 10);
    add_rule(&one, "build", DAY, 20);
    append(f, "build", 50, NOW);
    append(f, "default", 50, NOW);
    trim(f, &one, NOW, 16);
    assert_int_equal(count_in(f, "build"), 20);
    uint64_t gone = list(f, "build", 0, 0).gone;
    assert_int_equal(gone, 30);
    fixture_reopen(f, STORE_MAP_INITIAL, STORE_MAP_MAX);
    add_rule(&other, "default", DAY, 5);
    trim(f, &other, NOW, 16);
    assert_int_equal(count_in(f, "build"), 10);
    assert_int_equal(count_in(f, "default"), 5);
    assert_int_equal(list(f, "build", 0, 0).gone, 40);
    assert_int_equal(list(f, "default", 0, 0).gone, 95);
    retention_t none = limits(DAY, 8);
    trim(f, &none, NOW, 16);
    assert_int_equal(count_in(f, "build") + count_in(f, "default"), 8);
}

static void test_the_file_stops_growing(void **state)
{
    fixture_t *f = *state;
    retention_t retention = limits(DAY, 2000);
    off_t size = 0;
    struct stat info;
    AUTO_FREE char *path = util_format("%s/data.mdb", f->path);
    for (int round = 0; round < 60; round++) {
        append(f, "default", 500, NOW);
        trim(f, &retention, NOW, 256);
        assert_int_equal(stat(path, &info), 0);
        if (round == 20)
            size = info.st_size;
    }
    assert_int_equal(fixture_count(f, TABLE_JOURNAL), 2000);
    assert_true(info.st_size <= size + size / 10);
    assert_true(info.st_size < 2500 * 1024);
}

/* Configuration ---------------------------------------------------------------------------------
 */

static status_code_t read_text(const char *text, retention_t *ret, status_t *st)
{
    char path[] = "/tmp/test-retention-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    status_code_t code = retention_read(ret, path, st);
    unlink(path);
    return code;
}

static void test_settings(void **state)
{
    (void)state;
    retention_t read;
    status_t st;
    assert_int_equal(read_text("shim\n    call-timeout = 100\n", &read, &st), STATUS_OK);
    assert_int_equal(read.rest.max_age, 30 * DAY);
    assert_int_equal(read.rest.max_events, 1000000);
    assert_int_equal(read.max_size, 4096);
    assert_int_equal(read.max_requests, 1000000);
    assert_int_equal(read.max_exits, 1000000);
    assert_int_equal(read.count, 0);
    assert_int_equal(read_text("journal\n    namespaces\n        a\n            max-age = 90m\n"
                               "        b\n            max-events = 7\n    max-age = 12h\n"
                               "    max-events = 10\n    max-size = 16\n    max-exits = 2000\n"
                               "    max-requests = 3000\n",
                               &read, &st),
                     STATUS_OK);
    assert_int_equal(read.rest.max_age, DAY / 2);
    assert_int_equal(read.max_size, 16);
    assert_int_equal(read.max_requests, 3000);
    assert_int_equal(read.max_exits, 2000);
    assert_int_equal(read.count, 2);
    assert_string_equal(read.rules[0].ns, "a");
    assert_int_equal(read.rules[0].limits.max_age, 5400);
    assert_int_equal(read.rules[0].limits.max_events, 10);
    assert_int_equal(read.rules[1].limits.max_age, DAY / 2);
    assert_int_equal(read.rules[1].limits.max_events, 7);
}

static void test_faults_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *named;
    } rows[] = {
        {"journal\n    max-age = 30\n", "journal/max-age = 30: not a number of seconds"},
        {"journal\n    max-age = 0s\n", "from 1s to 3650d"},
        {"journal\n    max-age = 3651d\n", "from 1s to 3650d"},
        {"journal\n    max-age = 1dd\n", "journal/max-age = 1dd"},
        {"journal\n    max-events = 0\n", "journal/max-events = 0: not a whole number from 1"},
        {"journal\n    size = 3\n", "unknown key journal/size"},
        {"journal\n    max-size = 16385\n",
         "journal/max-size = 16385: not a whole number from 1 to"},
        {"journal\n    max-exits = 999\n", "journal/max-exits = 999: not a whole number from 1000"},
        {"journal\n    namespaces\n        x\n            max-exits = 3000\n",
         "journal/namespaces: unknown key x/max-exits"},
        {"journal\n    namespaces\n        -x\n            max-events = 3\n",
         "journal/namespaces/-x: not an identifier: 1-76 letters"},
        {"journal\n    namespaces\n        x\n            max-events = 0\n",
         "journal/namespaces: x/max-events = 0: not a whole number from 1"},
        {"journal\n    namespaces\n        x\n            colour = 3\n", "unknown key x/colour"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        retention_t read;
        status_t st;
        assert_int_equal(read_text(rows[i].text, &read, &st), STATUS_INVALID_ARGUMENT);
        if (!strstr(st.text, rows[i].named))
            fail_msg("%s", st.text);
    }
    msgpack_sbuffer text;
    retention_t read;
    status_t st;
    msgpack_sbuffer_init(&text);
    msgpack_sbuffer_write(&text, "journal\n    namespaces\n", 23);
    for (int i = 0; i <= RETENTION_NAMESPACES_MAX; i++) {
        char line[64];
        int size = snprintf(line, sizeof line, "        n%d\n            max-events = 1\n", i);
        msgpack_sbuffer_write(&text, line, (size_t)size);
    }
    msgpack_sbuffer_write(&text, "", 1);
    assert_int_equal(read_text(text.data, &read, &st), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "more than 64"));
    msgpack_sbuffer_destroy(&text);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_count),
        WITH_STORE(test_age),
        WITH_STORE(test_size),
        WITH_STORE(test_marks_of_lost_events_age),
        WITH_STORE(test_times_that_cannot_be),
        WITH_STORE(test_a_namespace_of_its_own),
        WITH_STORE(test_other_rules),
        WITH_STORE(test_the_file_stops_growing),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_faults_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
