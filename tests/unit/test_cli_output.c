/* Tests of what shimctl prints: tables, times, JSON of messages, event lines; and of the words it
 * reads. Expected texts of tables and event lines are ctr 1.6.20's. */
#include "client/arguments.h"
#include "client/event_line.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_table(const table_t *table, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    table_print(table, file);
    fclose(file);
    assert_string_equal(text, expected);
    free(text);
}

static void tables_are_ctrs(void **state)
{
    (void)state;
    AUTO(table)
    tasks = table_new(4);
    table_add(tasks, "TASK\tPID\tSTATUS\t");
    table_add(tasks, "%s\t%d\t%s", "b", 18983, "RUNNING");
    assert_table(tasks, "TASK    PID      STATUS    \n"
                        "b       18983    RUNNING\n");
    AUTO(table)
    containers = table_new(4);
    table_add(containers, "CONTAINER\tIMAGE\tRUNTIME\t");
    table_add(containers, "%s\t%s\t%s\t", "zz", "-", "io.containerd.runc.v2");
    assert_table(containers, "CONTAINER    IMAGE    RUNTIME                  \n"
                             "zz           -        io.containerd.runc.v2    \n");
    AUTO(table)
    namespaces = table_new(1);
    table_add(namespaces, "NAME\tLABELS\t");
    table_add(namespaces, "default\t\t");
    assert_table(namespaces, "NAME    LABELS \n"
                             "default        \n");
}

static void tables_count_characters_and_tame_bytes(void **state)
{
    (void)state;
    AUTO(table)
    table = table_new(1);
    table_add(table, "%s\t%s", "\xc3\xa4\xc3\xa4", "x");
    table_add(table, "%s\t%s", "abc", "\033[2J\n");
    assert_table(table, "\xc3\xa4\xc3\xa4  x\nabc ?[2J?\n");
}

static void times_are_gos(void **state)
{
    (void)state;
    char text[OUTPUT_TIME_SIZE];
    output_go_time(1795501008245300800, text);
    assert_string_equal(text, "2026-11-24 06:16:48.2453008 +0000 UTC");
    output_go_time(1795501008000000000, text);
    assert_string_equal(text, "2026-11-24 06:16:48 +0000 UTC");
    output_rfc3339(1795501008000000001, text);
    assert_string_equal(text, "2026-11-24T06:16:48.000000001Z");
    output_rfc3339(0, text);
    assert_string_equal(text, "0001-01-01T00:00:00Z");
    output_rfc3339(-500000000, text);
    assert_string_equal(text, "1969-12-31T23:59:59.5Z");
}

static void assert_json(json_t *value, const char *expected)
{
    AUTO_FREE char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    assert_string_equal(text, expected);
}

static void messages_become_json(void **state)
{
    (void)state;
    msg_label_t labels[] = {{"a", "b"}};
    const msg_container_t container = {.ns = "default",
                                       .id = "x",
                                       .labels = {labels, 1},
                                       .runtime = "r",
                                       .runc = &(msg_runc_options_t){.root = "/r"},
                                       .options = {(const uint8_t *)"\0\1\2", 3},
                                       .created_at = 5};
    assert_json(message_json(MSG_container, &container),
                "{\"ns\":\"default\",\"id\":\"x\",\"labels\":{\"a\":\"b\"},\"runtime\":\"r\","
                "\"runc\":{\"root\":\"/r\"},\"options\":\"AAEC\",\"created_at\":5,"
                "\"updated_at\":0}");
    const msg_event_page_t page = {.events = {(const uint8_t *)"\x92\x01\xc0", 3}, .last = 9};
    assert_json(message_json(MSG_event_page, &page),
                "{\"events\":[1,null],\"first\":0,\"last\":9,\"next\":0}");
    const msg_outcome_t outcome = {.id = {{1, 2}}, .method = "m", .state = "done"};
    assert_json(message_json(MSG_outcome, &outcome),
                "{\"id\":\"01020000-0000-0000-0000-000000000000\",\"method\":\"m\","
                "\"state\":\"done\",\"status\":0,\"time\":0}");
}

static void any_msgpack_becomes_json(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *json;
    } rows[] = {
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, "\"18446744073709551615\""},
        {"\xd0\x80", 2, "-128"},
        {"\xc4\x02\x00\x01", 4, "\"AAE=\""},
        {"\xa2\xff\xfe", 3, "\"//4=\""},
        {"\xa2\x00z", 3, "\"\\u0000z\""},
        {"\x81\x05\xc3", 3, "{\"5\":true}"},
        {"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9, "null"},
        {"\x92\x01", 2, "null"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_json(message_json_value(rows[i].data, rows[i].size), rows[i].json);
}

/* Event lines -------------------------------------------------------------------------------------
 */

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

/* An event whose fields the caller packs next. */
static void begin_event(msgpack_sbuffer *buffer, msgpack_packer *packer, const char *topic)
{
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(packer, buffer, msgpack_sbuffer_write);
    msgpack_pack_map(packer, 5);
    pack_text(packer, "seq");
    msgpack_pack_uint64(packer, 3);
    pack_text(packer, "time");
    msgpack_pack_int64(packer, 1795501008245300829);
    pack_text(packer, "ns");
    pack_text(packer, "default");
    pack_text(packer, "topic");
    pack_text(packer, topic);
    pack_text(packer, "event");
}

static void assert_line(msgpack_sbuffer *buffer, const char *expected)
{
    msgpack_unpacked unpacked;
    event_line_t line;
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, buffer->data, buffer->size, NULL),
                     MSGPACK_UNPACK_SUCCESS);
    assert_true(event_line_read(&unpacked.data, &line));
    assert_int_equal(line.seq, 3);
    AUTO_FREE char *text = event_line_text(&line);
    assert_string_equal(text, expected);
    msgpack_unpacked_destroy(&unpacked);
    msgpack_sbuffer_destroy(buffer);
}

static void an_exit_is_printed_as_ctr_does(void **state)
{
    (void)state;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    begin_event(&buffer, &packer, "/tasks/exit");
    msgpack_pack_map(&packer, 5);
    pack_text(&packer, "container_id");
    pack_text(&packer, "<c>");
    pack_text(&packer, "id");
    pack_text(&packer, "");
    pack_text(&packer, "pid");
    msgpack_pack_int(&packer, 12);
    pack_text(&packer, "exit_status");
    msgpack_pack_int(&packer, 0);
    pack_text(&packer, "exited_at");
    msgpack_pack_int64(&packer, 1795501008000000000);
    assert_line(&buffer, "2026-11-24 06:16:48.245300829 +0000 UTC default /tasks/exit "
                         "{\"container_id\":\"\\u003cc\\u003e\",\"pid\":12,"
                         "\"exited_at\":\"2026-11-24T06:16:48Z\"}");
}

static void empty_labels_and_any_are_kept(void **state)
{
    (void)state;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    begin_event(&buffer, &packer, "/namespaces/update");
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "labels");
    msgpack_pack_map(&packer, 1);
    pack_text(&packer, "a");
    pack_text(&packer, "");
    pack_text(&packer, "io");
    msgpack_pack_map(&packer, 1);
    pack_text(&packer, "terminal");
    msgpack_pack_false(&packer);
    pack_text(&packer, "options");
    msgpack_pack_map(&packer, 2);
    pack_text(&packer, "type");
    pack_text(&packer, "t");
    pack_text(&packer, "raw");
    msgpack_pack_bin_with_body(&packer, "", 0);
    assert_line(&buffer, "2026-11-24 06:16:48.245300829 +0000 UTC default /namespaces/update "
                         "{\"labels\":{\"a\":\"\"},\"options\":{\"type_url\":\"t\"}}");
}

/* Words -------------------------------------------------------------------------------------------
 */

static void signals_have_names_and_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t number;
    } rows[] = {{"SIGTERM", SIGTERM},
                {"TERM", SIGTERM},
                {"sigkill", SIGKILL},
                {"9", 9},
                {"64", 64},
                {"winch", SIGWINCH},
                {"0", 0},
                {"65", 0},
                {"FOO", 0},
                {"", 0},
                {"SIG", 0},
                {"-9", 0},
                {"RTMIN-1", 0},
                {"RTMIN+99", 0}};
    status_t st;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint32_t number = 0;
        assert_int_equal(!arguments_signal(rows[i].text, &number, &st), rows[i].number != 0);
        assert_int_equal(number, rows[i].number);
    }
    uint32_t number = 0;
    assert_int_equal(arguments_signal("SIGRTMIN+3", &number, &st), 0);
    assert_int_equal(number, SIGRTMIN + 3);
}

static void labels_are_read_as_ctr_does(void **state)
{
    (void)state;
    status_t st;
    msg_labels_t labels;
    msgpack_zone *zone = msgpack_zone_new(1024);
    char *words[] = {"a=b", "c", "d=", "a=x=y"};
    assert_int_equal(arguments_labels(words, 4, "true", zone, &labels, &st), 0);
    assert_int_equal(labels.count, 3);
    assert_string_equal(labels.items[0].value, "x=y");
    assert_string_equal(labels.items[1].value, "true");
    assert_string_equal(labels.items[2].value, "");
    char *bad[] = {"=b"};
    assert_int_equal(arguments_labels(bad, 1, "true", zone, &labels, &st), STATUS_INVALID_ARGUMENT);
    msgpack_zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_ctrs),
        cmocka_unit_test(tables_count_characters_and_tame_bytes),
        cmocka_unit_test(times_are_gos),
        cmocka_unit_test(messages_become_json),
        cmocka_unit_test(any_msgpack_becomes_json),
        cmocka_unit_test(an_exit_is_printed_as_ctr_does),
        cmocka_unit_test(empty_labels_and_any_are_kept),
        cmocka_unit_test(signals_have_names_and_numbers),
        cmocka_unit_test(labels_are_read_as_ctr_does),
    };
    return cmocka_run_group_tests_name("cli_output", tests, NULL, NULL);
}
