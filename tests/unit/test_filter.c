/* Filters: the grammar with its errors, what matches what, and the limits. */
#include "common/filter.h"

#include "common/util.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

/* Things to choose from --------------------------------------------------------------------------
 */

static msg_label_t web_labels[] = {
    {"tier", "web"}, {"a.b", "dotted"}, {"prio", "10"}, {"with \\ and \"", "odd"}, {"empty", ""}};
static msg_label_t db_labels[] = {
    {"tier", "db"}, {"prio", "9"}, {"since", "2026-05-01T00:00:00Z"}, {"later", "5m"}};
static const msg_runc_options_t systemd = {.systemd_cgroup = true, .io_uid = 7};

#define DAY ((int64_t)86400 * 1000000000)
/* Midnights of 2026-01-01 and the days after it. */
#define JANUARY(day) ((int64_t)1767225600 * 1000000000 + ((day)-1) * DAY)

static const msg_container_t containers[] = {
    {.ns = "default",
     .id = "web",
     .image = "alpine, edge",
     .runtime = "io.containerd.runc.v2",
     .labels = {.items = web_labels, .count = ARRAY_SIZE(web_labels)},
     .created_at = JANUARY(1),
     .updated_at = JANUARY(1) + 5},
    {.ns = "default",
     .id = "db",
     .runtime = "io.containerd.kata.v2",
     .runc = &systemd,
     .labels = {.items = db_labels, .count = ARRAY_SIZE(db_labels)},
     .created_at = JANUARY(2)},
    {.ns = "other", .id = "bare", .image = "", .runtime = "/opt/shim", .created_at = JANUARY(3)},
};

static status_t st;

static filter_t *parse(const char *const *texts, size_t count)
{
    filter_t *filter;
    msg_texts_t list = {.items = (const char **)(uintptr_t)texts, .count = count};
    status_clear(&st);
    filter_parse(&list, &filter, &st);
    return filter;
}

static filter_t *parse_one(const char *text)
{
    filter_t *filter = parse(&text, 1);
    if (!filter)
        fail_msg("%s: %s", text, st.text);
    return filter;
}

/* The ids of the containers that the filters match, joined by blanks. */
static void assert_finds(const char *const *texts, size_t count, const char *wanted)
{
    char found[64] = "";
    filter_t *filter = parse(texts, count);
    if (count && !filter)
        fail_msg("%s: %s", texts[0], st.text);
    for (size_t i = 0; i < ARRAY_SIZE(containers); i++)
        if (filter_match_record(filter, MSG_container, &containers[i])) {
            strcat(found, found[0] ? " " : "");
            strcat(found, containers[i].id);
        }
    assert_int_equal(filter_status(filter, &st), STATUS_OK);
    if (strcmp(found, wanted))
        fail_msg("%s: finds \"%s\", not \"%s\"", count ? texts[0] : "", found, wanted);
    filter_destroy(&filter);
}

typedef struct row {
    const char *text, *outcome;
} row_t;

static void check_finds(const row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_finds(&rows[i].text, 1, rows[i].outcome);
}

static void check_refused(const row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        filter_t *filter = parse(&rows[i].text, 1);
        if (filter)
            fail_msg("%s: is taken", rows[i].text);
        assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
        assert_string_equal(st.text, rows[i].outcome);
    }
}

#define FINDS(rows)   check_finds(rows, ARRAY_SIZE(rows))
#define REFUSED(rows) check_refused(rows, ARRAY_SIZE(rows))

/* Grammar ----------------------------------------------------------------------------------------
 */

static void test_presence(void **state)
{
    static const row_t rows[] = {
        {"", "web db bare"},
        {"id", "web db bare"},
        {"image", "web"}, /* an empty text is absent */
        {"labels.tier", "web db"},
        {"labels.empty", "web"}, /* but for labels */
        {"labels.tier,image", "web"},
        {"labels.none", ""},
        {"labels", ""},
        {"unheard", ""},
        {"id.more", ""},
        {"updated_at", "web"}, /* a time of 0 has not come */
        {"runc.root", ""},
        {"runc", ""},
        {"spec", ""},
    };
    (void)state;
    FINDS(rows);
}

static void test_equality(void **state)
{
    static const row_t rows[] = {
        {"id==web", "web"},
        {"id!=web", "db bare"},
        {"id==we", ""},
        {"id==webb", ""},
        {"id==WEB", ""},
        {"labels.tier==db", "db"},
        {"labels.tier!=db", "web bare"}, /* absent is not equal */
        {"labels.none!=x", "web db bare"},
        {"labels.none==\"\"", ""}, /* equal needs presence */
        {"labels.none!=\"\"", ""}, /* an absent value is the empty one */
        {"labels.empty==\"\"", "web"},
        {"image==\"alpine, edge\"", "web"},
        {"id==web,labels.tier==web", "web"},
        {"id==web,labels.tier==db", ""},
        {"labels.prio==9", "db"},
        {"labels.prio==09", ""}, /* labels are text */
    };
    (void)state;
    FINDS(rows);
}

static void test_paths(void **state)
{
    static const row_t rows[] = {
        {"labels.a.b==dotted", "web"},
        {"labels.\"a.b\"==dotted", "web"},
        {"labels.\"a\".\"b\"==dotted", "web"},
        {"\"labels\".a.b", "web"},
        {"labels.a", ""},
        {"labels.a.b.c", ""},
        {"labels.\"with \\\\ and \\\"\"==odd", "web"},
        {"labels.\"\\x74ier\"==web", "web"},
        {"runtime.name==io.containerd.runc.v2", "web"},
        {"runtime==io.containerd.runc.v2", "web"},
        {"runtime.other", ""},
        {"runtime.name.x", ""},
        {"id.name", ""},
        {"namespace==other", "bare"},
        {"ns==other", "bare"},
        {"runc.io_uid==7", "db"},
        {"runc.systemd_cgroup==true", "db"},
        {"runc.no_pivot_root==false", "db"},
    };
    (void)state;
    FINDS(rows);
}

static void test_blanks(void **state)
{
    static const row_t rows[] = {
        {" id == web ", "web"},       {"\tid!=web , labels.tier\n", "db"},
        {"id ==\xc2\xa0web", "web"},  {"id==\"web\" ,image", "web"},
        {"labels. tier==web", "web"},
    };
    (void)state;
    FINDS(rows);
}

static void test_values_run_on(void **state)
{
    static const row_t rows[] = {
        {"labels.x==omg_a.b-c(d)/e|f\"g=h", ""},
        {"id==\"\\167\\x65\\u0062\"", "web"}, /* web */
        {"id==\"we\\U00000062\"", "web"},
        {"image!=\"\\u00fc\\u20ac\\U0001f600\\a\\b\\f\\n\\r\\t\\v\\\\\\000\"", "web db bare"},
        {"id~=\xe7\x89\x9b", ""},
    };
    (void)state;
    FINDS(rows);
}

static void test_expressions(void **state)
{
    static const row_t rows[] = {
        {"id~=b", "web db bare"},
        {"id~=^b", "bare"},
        {"id~=^(web|db)$", "web db"},
        {"runtime~=runc\\.v\\d$", "web"},
        {"id~=/^b/", "bare"},
        {"id~=|^b|", "bare"},
        {"id~=\"^b\"", "bare"},
        {"image~=/[aeg]{1,2}, /", "web"},
        {"runtime~=/^\\/opt/", "bare"},
        {"runtime~=|^/opt/|", "bare"},
        {"id~=/^w\\x65b$/", "web"},
        {"image~=/[aln]{0,1}\"\\//", ""},
        {"id~=(?i)^WEB$", "web"},
        {"labels.none~=^$", "web db bare"}, /* an absent value is the empty one */
        {"labels.none~=/./", ""},
        {"labels.none~=/x*/", "web db bare"},
        {"created_at~=^2026-01-0[12]T", "web db"},
        {"runc.io_uid~=^7$", "db"},
        {"runc.systemd_cgroup~=tru", "db"},
        {"id~=/./,id!=db", "web bare"},
    };
    (void)state;
    FINDS(rows);
}

/* $ is the end of the text, as in Go, and not also what is before a last newline. */
static void test_meaning_of_expressions_is_go_s(void **state)
{
    (void)state;
    msg_namespace_t ns = {.name = "a\n"};
    filter_t *filter = parse_one("name~=a$");
    assert_false(filter_match_record(filter, MSG_namespace, &ns));
    filter_destroy(&filter);
    filter = parse_one("name~=^a.$");
    assert_false(filter_match_record(filter, MSG_namespace, &ns));
    filter_destroy(&filter);
    filter = parse_one("name~=(?s)^a.$");
    assert_true(filter_match_record(filter, MSG_namespace, &ns));
    filter_destroy(&filter);
    ns.name = "\u725b\u725b";
    filter = parse_one("name~=^\u725b.$"); /* . is a character */
    assert_true(filter_match_record(filter, MSG_namespace, &ns));
    filter_destroy(&filter);
}

/* The places and the sentences are containerd's, but for the operators that it does not have. */
static void test_errors_tell_the_place(void **state)
{
    static const row_t rows[] = {
        {"id==web,", "filters: parse error: [id==web,]: expected field or quoted"},
        {",id", "filters: parse error: [ >|,|< id]: expected field or quoted"},
        {"id==web,,image",
         "filters: parse error: [id==web, >|,|< image]: expected field or quoted"},
        {"labels.", "filters: parse error: [labels.]: expected field or quoted"},
        {"labels.?x==y", "filters: parse error: [labels. >|?|< x==y]: expected field or quoted"},
        {"image~=,id==web",
         "filters: parse error: [image~= >|,|< id==web]: expected value or quoted"},
        {"id==", "filters: parse error: [id==]: expected value or quoted"},
        {"id==.x", "filters: parse error: [id== >|.|< x]: expected value or quoted"},
        {"id== =x", "filters: parse error: [id==  >|=|< x]: expected value or quoted"},
        {"id=web", "filters: parse error: [id >|=|< web]: unsupported operator \"=\""},
        {"id===web", "filters: parse error: [id >|=|< ==web]: unsupported operator \"===\""},
        {"id=~web", "filters: parse error: [id >|=|< ~web]: unsupported operator \"=~\""},
        {"id web", "filters: parse error: [id  >|w|< eb]: expected an operator "
                   "(\"==\"|\"!=\"|\"~=\"|\">\"|\">=\"|\"<\"|\"<=\")"},
        {"id==web db", "filters: parse error: [id==web  >|d|< b]: unexpected input"},
        {"id==\"a\"b", "filters: parse error: [id==\"a\" >|b|< ]: unexpected input"},
        {"labels.a/b==c", "filters: parse error: [labels.a >|/|< b==c]: expected an operator "
                          "(\"==\"|\"!=\"|\"~=\"|\">\"|\">=\"|\"<\"|\"<=\")"},
        {"labels./b==c",
         "filters: parse error: [labels. >|/|< b==c]: quoted literal not terminated"},
        {"labels.|a|==c", "filters: parse error: [labels. >|||< a|==c]: invalid quote encountered"},
        {"id==|a|", "filters: parse error: [id== >|||< a|]: invalid quote encountered"},
        {"id==/a", "filters: parse error: [id== >|/|< a]: quoted literal not terminated"},
        {"id~=/a", "filters: parse error: [id~= >|/|< a]: quoted literal not terminated"},
        {"id==\"a\nb\"",
         "filters: parse error: [id== >|\"|< a\nb\"]: quoted literal not terminated"},
        {"id==\"a\\", "filters: parse error: [id== >|\"|< a\\]: quoted literal not terminated"},
        {"id==\"\\g\"", "filters: parse error: [id== >|\"|< \\g\"]: illegal escape sequence"},
        {"id==\"\\'\"", "filters: parse error: [id== >|\"|< \\'\"]: illegal escape sequence"},
        {"id==\"\\xaz\"",
         "filters: parse error: [id== >|\"|< \\xaz\"]: illegal numeric escape sequence"},
        {"id==\"\\12\"",
         "filters: parse error: [id== >|\"|< \\12\"]: illegal numeric escape sequence"},
        {"id==\"\\u12\"",
         "filters: parse error: [id== >|\"|< \\u12\"]: illegal numeric escape sequence"},
        {"id==\"\\400\"",
         "filters: parse error: [id== >|\"|< \\400\"]: unquoting failed: invalid syntax"},
        {"id==\"\\ud800\"",
         "filters: parse error: [id== >|\"|< \\ud800\"]: unquoting failed: invalid syntax"},
        {"id==\"\\U00110000\"",
         "filters: parse error: [id== >|\"|< \\U00110000\"]: unquoting failed: invalid syntax"},
        {"id==x,\u725b", "filters: parse error: [id==x, >|\u725b|< ]: expected field or quoted"},
        {"\x01", "filters: parse error: [ >|\x01|< ]: expected field or quoted"},
        {"id==\x7f", "filters: parse error: [id== >|\x7f|< ]: expected value or quoted"},
        {"id==\xc2\x80", "filters: parse error: [id== >|\xc2\x80|< ]: expected value or quoted"},
        {"id==\xff", "filters: one is not UTF-8"},
    };
    (void)state;
    REFUSED(rows);
}

static void test_bad_expressions_are_refused_at_once(void **state)
{
    static const row_t rows[] = {
        {"id~=a(b", "filters: parse error: regular expression [a(b]: missing closing parenthesis"},
        {"id~=/a[b/", "filters: parse error: regular expression [a[b]: missing terminating ] for "
                      "character class"},
        {"id~=a)b", "filters: parse error: regular expression [a >|)|< b]: unmatched closing "
                    "parenthesis"},
        {"id~=\"\\xff\"",
         "filters: parse error: regular expression [ >|?|< ]: UTF-8 error: illegal "
         "byte (0xfe or 0xff)"},
    };
    (void)state;
    REFUSED(rows);
    const char *single = "id~=\\C"; /* a byte out of a character */
    assert_null(parse(&single, 1));
}

static void test_several_filters(void **state)
{
    (void)state;
    static const char *const texts[] = {"id==web", "labels.tier==db", "id==none"};
    assert_finds(texts, 3, "web db");
    static const char *const with_empty[] = {"id==web", ""};
    assert_finds(with_empty, 2, "web db bare");
    static const char *const one_wrong[] = {"id==web", "id=="};
    assert_finds(NULL, 0, "web db bare");
    assert_null(parse(one_wrong, 2));
    assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
    assert_null(parse(NULL, 0));
    assert_int_equal(st.code, STATUS_OK);
}

/* Numbers and times ------------------------------------------------------------------------------
 */

static void test_times(void **state)
{
    static const row_t rows[] = {
        {"created_at>2026-01-02", "bare"},
        {"created_at>=2026-01-02", "db bare"},
        {"created_at<2026-01-02", "web"},
        {"created_at<=2026-01-02", "web db"},
        {"created_at==2026-01-02", "db"},
        {"created_at!=2026-01-02", "web bare"},
        {"created_at==2026-01-02T00:00:00Z", "db"},
        {"created_at==2026-01-02T01:30:00+01:30", "db"},
        {"created_at==\"2026-01-01T23:00:00-01:00\"", "db"},
        {"created_at==1767225600", "web"},
        {"created_at==1767225600000000000", "web"}, /* as the wire has it */
        {"updated_at==2026-01-01T00:00:00.000000005Z", "web"},
        {"updated_at<2027-01-01", "web"}, /* absent is neither */
        {"updated_at>=2026-01-01", "web"},
        {"updated_at!=2026-01-01", "web db bare"},
        {"created_at==soon", ""},
        {"created_at!=soon", "web db bare"},
        {"created_at>2026-01-01,created_at<2026-01-03", "db"},
        {"labels.since>2026-04-30", "db"},
        {"labels.since<-1s", "db"},      /* as long as the clock is right */
        {"labels.later>2020-01-01", ""}, /* a duration is no time */
        {"created_at>2026-01-01T12:00:00", "db bare"},
    };
    (void)state;
    FINDS(rows);
}

static void test_times_from_now(void **state)
{
    (void)state;
    msg_container_t fresh = {.id = "a", .created_at = util_now_ns() - (int64_t)600 * 1000000000};
    static const struct {
        const char *text;
        bool matches;
    } rows[] = {{"created_at>-11m", true},   {"created_at>-9m", false}, {"created_at<-9m", true},
                {"created_at>-1h30m", true}, {"created_at<1h", true},   {"created_at>24h", false},
                {"created_at<-500ms", true}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        filter_t *filter = parse_one(rows[i].text);
        assert_int_equal(filter_match_record(filter, MSG_container, &fresh), rows[i].matches);
        filter_destroy(&filter);
    }
}

static void test_numbers(void **state)
{
    static const row_t rows[] = {
        {"labels.prio>9", "web"}, /* by value: as text "10" is less than "9" */
        {"labels.prio<10", "db"},
        {"labels.prio>=9", "web db"},
        {"labels.prio<=9.5", "db"},
        {"labels.tier>0", ""}, /* no number */
        {"labels.none>0", ""},
        {"labels.none<1", ""},
        {"id>0", ""},
        {"runc.io_uid>6", "db"},
        {"runc.io_uid==7.0", "db"},
        {"runc.io_uid==07", "db"},
        {"runc.io_uid!=7", "web bare"},
        {"runc.io_uid!=seven", "web db bare"},
        {"runc.io_uid>2020-01-01", ""},
        {"runc.io_gid==0", "db"}, /* numbers are always there */
        {"runc.io_uid > 6", "db"},
    };
    static const row_t wrong[] = {
        {"runc.io_uid>six",
         "filters: parse error: [runc.io_uid> >|s|< ix]: expected a number or a time"},
        {"created_at>2026-02-30",
         "filters: parse error: [created_at> >|2|< 026-02-30]: expected a number or a time"},
        {"created_at<=\"\"",
         "filters: parse error: [created_at<= >|\"|< \"]: expected a number or a time"},
        {"id>==3", "filters: parse error: [id>= >|=|< 3]: expected value or quoted"},
        {"id<>3", "filters: parse error: [id< >|>|< 3]: expected a number or a time"},
        {"id>|3|", "filters: parse error: [id> >|||< 3|]: invalid quote encountered"},
    };
    (void)state;
    FINDS(rows);
    REFUSED(wrong);
}

static void test_tasks(void **state)
{
    (void)state;
    const msg_process_t task = {.ns = "default",
                                .id = "t",
                                .status = "STOPPED",
                                .pid = 4294967295u,
                                .exit_status = 137,
                                .exited_at = JANUARY(1),
                                .unresponsive = true};
    static const char *const yes[] = {
        "status==STOPPED",    "pid==4294967295",         "exit_status>128", "exit_status!=0",
        "exited_at",          "unresponsive==true",      "terminal==false", "stale_ms==0",
        "exit_status~=^137$", "namespace==default,id==t"};
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        filter_t *filter = parse_one(yes[i]);
        if (!filter_match_record(filter, MSG_process, &task))
            fail_msg("%s", yes[i]);
        filter_destroy(&filter);
    }
}

/* Events -----------------------------------------------------------------------------------------
 */

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

/* A map of the wire with everything that may stand in it. */
static void pack_event(msgpack_sbuffer *buffer)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 8);
    pack_text(&packer, "seq");
    msgpack_pack_uint64(&packer, UINT64_MAX);
    pack_text(&packer, "time");
    msgpack_pack_int64(&packer, JANUARY(2));
    pack_text(&packer, "ns");
    pack_text(&packer, "default");
    pack_text(&packer, "topic");
    pack_text(&packer, "/tasks/exit");
    pack_text(&packer, "origin");
    pack_text(&packer, "shim");
    pack_text(&packer, "incarnation");
    pack_text(&packer, "");
    msgpack_pack_int(&packer, 7); /* a key that is no text */
    msgpack_pack_nil(&packer);
    pack_text(&packer, "event");
    msgpack_pack_map(&packer, 9);
    pack_text(&packer, "container_id");
    pack_text(&packer, "web");
    pack_text(&packer, "id");
    pack_text(&packer, "");
    pack_text(&packer, "exit_status");
    msgpack_pack_uint32(&packer, 7);
    pack_text(&packer, "exited_at");
    msgpack_pack_int64(&packer, JANUARY(1));
    pack_text(&packer, "load");
    msgpack_pack_double(&packer, 0.25);
    pack_text(&packer, "nice");
    msgpack_pack_int(&packer, -5);
    pack_text(&packer, "rootfs");
    msgpack_pack_array(&packer, 1);
    pack_text(&packer, "x");
    pack_text(&packer, "io");
    msgpack_pack_map(&packer, 2);
    pack_text(&packer, "stdout");
    pack_text(&packer, "/run/out");
    pack_text(&packer, "terminal");
    msgpack_pack_false(&packer);
    pack_text(&packer, "labels");
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "a");
    pack_text(&packer, "short");
    pack_text(&packer, "a.b");
    pack_text(&packer, "long");
    pack_text(&packer, "none");
    pack_text(&packer, "");
}

static bool event_matches(const char *text)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    pack_event(&buffer);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, buffer.data, buffer.size, NULL),
                     MSGPACK_UNPACK_SUCCESS);
    filter_t *filter = parse_one(text);
    bool matches = filter_match_event(filter, &unpacked.data);
    filter_destroy(&filter);
    msgpack_unpacked_destroy(&unpacked);
    msgpack_sbuffer_destroy(&buffer);
    return matches;
}

static void test_events(void **state)
{
    static const char *const yes[] = {"namespace==default",
                                      "ns==default",
                                      "topic==\"/tasks/exit\"",
                                      "topic~=^/tasks/",
                                      "topic~=exit$,event.exit_status!=0",
                                      "event.exit_status>0",
                                      "event.exit_status==7",
                                      "event.container_id==web",
                                      "event.id!=web",
                                      "seq==18446744073709551615",
                                      "seq>18446744073709551614",
                                      "time>2026-01-01",
                                      "time==2026-01-02",
                                      "origin==shim",
                                      "event.exited_at<2026-01-01T00:00:01Z",
                                      "event.exited_at~=^2026-01-01T00:00:00Z$",
                                      "event.io.stdout==\"/run/out\"",
                                      "event.io.terminal==false",
                                      "event.labels.a==short",
                                      "event.labels.a.b==long",
                                      "event.\"labels\".\"a.b\"",
                                      "event.labels.none",
                                      "event.load<0.5",
                                      "event.load==0.25",
                                      "event.nice<0",
                                      "event.nice==-5",
                                      "event.load~=^0.25$"};
    static const char *const no[] = {"event",
                                     "event.io",
                                     "event.rootfs",
                                     "event.id",
                                     "incarnation",
                                     "container_id",
                                     "event.labels.b",
                                     "event.labels",
                                     "event.labels.a.c",
                                     "event.exit_status==8",
                                     "event.exit_status<7",
                                     "event.pid>0",
                                     "seq<18446744073709551615",
                                     "time<2026-01-02",
                                     "namespace.x",
                                     "event.io.stdout.x",
                                     "event.namespace",
                                     "raw",
                                     "event.nice>0"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (!event_matches(yes[i]))
            fail_msg("%s does not match", yes[i]);
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (event_matches(no[i]))
            fail_msg("%s matches", no[i]);
}

static void test_events_that_are_none(void **state)
{
    (void)state;
    filter_t *filter = parse_one("namespace.a.b");
    static const msgpack_object nil = {.type = MSGPACK_OBJECT_NIL};
    assert_false(filter_match_event(filter, &nil));
    assert_true(filter_match_event(NULL, &nil));
    filter_destroy(&filter);
}

/* Limits -----------------------------------------------------------------------------------------
 */

static void test_number_of_filters(void **state)
{
    (void)state;
    const char *texts[FILTERS_MAX + 1];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        texts[i] = "id";
    filter_t *filter = parse(texts, FILTERS_MAX);
    assert_non_null(filter);
    filter_destroy(&filter);
    assert_null(parse(texts, FILTERS_MAX + 1));
    assert_string_equal(st.text, "filters: there are 65, limit 64");
}

static void test_length_of_a_filter(void **state)
{
    (void)state;
    AUTO_FREE char *text = calloc(1, FILTER_BYTES_MAX + 2);
    memset(text, 'a', FILTER_BYTES_MAX);
    filter_t *filter = parse((const char *const *)&text, 1);
    assert_non_null(filter);
    filter_destroy(&filter);
    text[FILTER_BYTES_MAX] = 'a';
    assert_null(parse((const char *const *)&text, 1));
    assert_string_equal(st.text, "filters: one is 4097 bytes long, limit 4096");
}

static char *repeated(const char *text, size_t count, const char *end)
{
    size_t size = strlen(text);
    char *made = calloc(1, size * count + strlen(end) + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(made + i * size, text, size);
    strcpy(made + size * count, end);
    return made;
}

static void test_number_of_selectors(void **state)
{
    (void)state;
    AUTO_FREE char *half = repeated("a,", FILTER_SELECTORS_MAX / 2 - 1, "a");
    const char *texts[] = {half, half, "a"};
    filter_t *filter = parse(texts, 2);
    assert_non_null(filter);
    filter_destroy(&filter);
    assert_null(parse(texts, 3));
    assert_string_equal(st.text, "filters: more than 256 selectors");
}

static void test_length_of_a_path(void **state)
{
    (void)state;
    AUTO_FREE char *most = repeated("a.", FILTER_PATH_MAX - 1, "a");
    AUTO_FREE char *more = repeated("a.", FILTER_PATH_MAX, "a");
    filter_t *filter = parse_one(most);
    filter_destroy(&filter);
    assert_null(parse((const char *const *)&more, 1));
    assert_string_equal(st.text, "filters: a path has more than 32 fields");
}

static void test_size_of_expressions(void **state)
{
    (void)state;
    AUTO_FREE char *text = repeated("a~=/(abc){999}/,", 150, "a");
    assert_null(parse((const char *const *)&text, 1));
    assert_string_equal(st.text,
                        "filters: regular expressions are more than 1048576 bytes when compiled");
}

/* An error shows what is around its place, and stays readable. */
static void test_errors_of_long_filters_are_short(void **state)
{
    (void)state;
    AUTO_FREE char *text = repeated("\u00fc", 1000, "\"");
    AUTO_FREE char *whole = util_format("a==\"%s,?,b==\"%s", text, text);
    assert_null(parse((const char *const *)&whole, 1));
    assert_non_null(strstr(st.text, "\u00fc\", >|?|< ,b==\"\u00fc"));
    assert_non_null(strstr(st.text, "[...\u00fc"));
    assert_non_null(strstr(st.text, "\u00fc...]: expected field or quoted"));
}

static void assert_gives_up(const char *text, const char *image)
{
    filter_t *filter = parse_one(text);
    int64_t begun = util_monotonic_us();
    msg_container_t container = {.id = "a", .image = image};
    assert_false(filter_match_record(filter, MSG_container, &container));
    assert_int_equal(filter_status(filter, &st), STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(st.text, "filters: matching takes too much time or memory");
    assert_false(filter_match_record(filter, MSG_container, &containers[0]));
    assert_in_range(util_monotonic_us() - begun, 0, 20 * 1000000);
    filter_destroy(&filter);
}

static void test_no_expression_hangs(void **state)
{
    (void)state;
    AUTO_FREE char *some = repeated("a", 40, "!");
    AUTO_FREE char *many = repeated("x", 200000, "!");
    assert_gives_up("image~=(a|aa|aaa)+$", some); /* more steps than there is time for */
    assert_gives_up("image~=/(a?){30}a{30}b|.*!$(?!)|x*?[yz]/", many); /* at each place of a text */
    assert_gives_up("image~=/^(?:(x)|(y))*[yz]/", many);
    assert_gives_up("image~=/(?R)?x/", many); /* more memory */
}

/* Whether matching comes to its end before it was asked 100000 times, and after more than one. */
static void assert_account_ends(filter_t *filter, const msg_container_t *container)
{
    size_t matched = 0;
    while (!filter_status(filter, &st) && matched < 100000) {
        filter_match_record(filter, MSG_container, container);
        matched++;
    }
    assert_in_range(matched, 2, 99999);
}

/* Also without any expression: looking at fields takes time as well. */
static void test_selectors_have_an_account(void **state)
{
    static msg_label_t many[LIMIT_LABELS];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (msg_label_t){.key = "not-this", .value = ""};
    AUTO_FREE char *text = repeated("labels.x!=y,", FILTER_SELECTORS_MAX - 1, "id");
    filter_t *filter = parse_one(text);
    assert_account_ends(filter, &(msg_container_t){.id = "a", .labels = {many, ARRAY_SIZE(many)}});
    filter_destroy(&filter);
}

static void test_many_matches_have_one_account(void **state)
{
    (void)state;
    AUTO_FREE char *text = repeated("x", 3000, "!");
    filter_t *filter = parse_one("image~=/x*?[yz]/,id"); /* some ten or hundred milliseconds each */
    const msg_container_t container = {.id = "a", .image = text};
    assert_account_ends(filter, &container);
    filter_destroy(&filter);
}

/* An account that is begun anew lets such a filter go on. */
static void test_rewind(void **state)
{
    (void)state;
    AUTO_FREE char *text = repeated("x", 3000, "!");
    filter_t *filter = parse_one("image~=/x*?[yz]/");
    const msg_container_t container = {.id = "a", .image = text};
    int64_t begun = util_monotonic_us();
    while (util_monotonic_us() - begun < 3 * FILTER_CPU_MS * 1000) {
        filter_rewind(filter);
        assert_false(filter_match_record(filter, MSG_container, &container));
        assert_int_equal(filter_status(filter, &st), STATUS_OK);
    }
    filter_destroy(&filter);
}

/* Hostile ----------------------------------------------------------------------------------------
 */

#define RANDOM_FILTERS 100000

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Either taken, and then it can be asked anything, or refused with a sentence. */
static void test_random_filters(void **state)
{
    static const char *const words[] = {
        "id",  "labels", "tier",   "created_at", ".",          ",",          "==",          "!=",
        "~=",  ">",      ">=",     "<",          "<=",         "=",          "!",           "~",
        "\"",  "/",      "|",      "\\",         "\\x41",      "\\u00fc",    "\\U0010ffff", "\\777",
        "\n",  " ",      "\u00a0", "\u725b",     "\xff",       "(",          ")",           "[",
        "]",   "*",      "+",      "?",          "{2,3}",      "^",          "$",           "(?i)",
        "\\d", "0",      "9",      "-",          "2026-01-01", "T00:00:00Z", "-10m",        "1e9",
        "a",   "_",      "(?R)",   "(?=",        "(?<!",       "\\K"};
    (void)state;
    uint64_t seed = 20260101;
    size_t taken = 0;
    for (size_t i = 0; i < RANDOM_FILTERS; i++) {
        char text[256] = "";
        size_t used = 0, count = next_random(&seed) % 14;
        for (size_t w = 0; w < count; w++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s",
                                     words[next_random(&seed) % ARRAY_SIZE(words)]);
        AUTO_FREE char *exact =
            util_strdup(text); /* so that a sanitizer sees a read past the end */
        filter_t *filter = parse((const char *const *)&exact, 1);
        assert_true(!filter == (st.code == STATUS_INVALID_ARGUMENT));
        for (size_t c = 0; filter && c < ARRAY_SIZE(containers); c++)
            filter_match_record(filter, MSG_container, &containers[c]);
        taken += filter != NULL;
        filter_destroy(&filter);
    }
    assert_in_range(taken, RANDOM_FILTERS / 50, RANDOM_FILTERS - 1); /* both ways are gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_blanks),
        cmocka_unit_test(test_values_run_on),
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_meaning_of_expressions_is_go_s),
        cmocka_unit_test(test_errors_tell_the_place),
        cmocka_unit_test(test_bad_expressions_are_refused_at_once),
        cmocka_unit_test(test_several_filters),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_times_from_now),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_that_are_none),
        cmocka_unit_test(test_number_of_filters),
        cmocka_unit_test(test_length_of_a_filter),
        cmocka_unit_test(test_number_of_selectors),
        cmocka_unit_test(test_length_of_a_path),
        cmocka_unit_test(test_size_of_expressions),
        cmocka_unit_test(test_errors_of_long_filters_are_short),
        cmocka_unit_test(test_no_expression_hangs),
        cmocka_unit_test(test_selectors_have_an_account),
        cmocka_unit_test(test_many_matches_have_one_account),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_random_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
