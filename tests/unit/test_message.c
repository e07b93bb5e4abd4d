/* Every row of messages.def there and back, and what the decoder refuses. */
#include "tests/unit/message_fixture.h"

#include "common/util.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static msgpack_zone zone;
static msgpack_sbuffer buffer;
static status_t st;

static int set_up(void **state)
{
    (void)state;
    status_clear(&st);
    msgpack_sbuffer_init(&buffer);
    return !msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
}

static int tear_down(void **state)
{
    (void)state;
    msgpack_sbuffer_destroy(&buffer);
    msgpack_zone_destroy(&zone);
    return 0;
}

/* The outcome of decoding a filled message in which `key` has the given value. */
static status_code_t decode_with(msg_id_t id, const char *key, const void *value, size_t size)
{
    message_change_t change = {.key = key, .value = value, .value_size = size};
    msgpack_sbuffer_clear(&buffer);
    status_clear(&st);
    message_encoded(id, message_filled(id, false, &zone), &change, &buffer);
    return message_decoded(id, &buffer, &zone, &st) ? STATUS_OK : st.code;
}

#define WITH(id, key, text) decode_with(id, key, text, sizeof text - 1)

static void assert_refused(const char *sentence)
{
    assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, sentence);
}

static void check_round_trip(msg_id_t id, const void *value)
{
    msgpack_sbuffer again;
    msgpack_sbuffer_clear(&buffer);
    message_encoded(id, value, NULL, &buffer);
    void *read = message_decoded(id, &buffer, &zone, &st);
    if (!read)
        fail_msg("%s", st.text);
    msgpack_sbuffer_init(&again);
    msg_encode(id, read, &again);
    assert_int_equal(again.size, buffer.size);
    assert_memory_equal(again.data, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&again);
}

static void test_every_message_goes_there_and_back(void **state)
{
    (void)state;
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        check_round_trip(id, message_filled(id, false, &zone));
        check_round_trip(id, message_filled(id, true, &zone));
    }
}

/* Decoding tells fields apart in a 64-bit set. */
static void test_table_is_sound(void **state)
{
    (void)state;
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        const msg_type_t *type = msg_type(id);
        assert_true(type->field_count <= 64);
        assert_true(type->meaning[strlen(type->meaning) - 1] == '.');
        if (!type->name)
            continue;
        assert_int_equal(msg_find(type->name), id);
        assert_true(type->answer < MSG_COUNT);
        assert_true(strlen(type->name) <= 64);
    }
    assert_int_equal(msg_find("task.fly"), MSG_COUNT);
    assert_int_equal(msg_find(""), MSG_COUNT);
}

static void check_missing(msg_id_t id, const msg_field_t *field, const char *nil, size_t size)
{
    status_code_t code = decode_with(id, field->name, nil, size);
    if (!field->required) {
        assert_int_equal(code, STATUS_OK);
        return;
    }
    AUTO_FREE char *sentence = util_format("%s: %s is missing", message_name(id), field->name);
    assert_refused(sentence);
}

static void test_required_fields_are_missed_by_name(void **state)
{
    (void)state;
    for (msg_id_t id = 0; id < MSG_COUNT; id++)
        for (size_t i = 0; i < msg_type(id)->field_count; i++) {
            check_missing(id, &msg_type(id)->fields[i], NULL, 0);
            check_missing(id, &msg_type(id)->fields[i], "\xc0", 1);
        }
}

static void test_unknown_keys_are_ignored(void **state)
{
    (void)state;
    message_change_t change = {.add_unknown = true};
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        msgpack_sbuffer_clear(&buffer);
        message_encoded(id, message_filled(id, false, &zone), &change, &buffer);
        assert_non_null(message_decoded(id, &buffer, &zone, &st));
    }
}

/* Which of the values below a kind takes. */
static bool kind_takes(const msg_field_t *field, char what)
{
    switch (field->kind) {
    case KIND_ident:
    case KIND_text:
        return what == 's';
    case KIND_bytes:
        return what == 'b';
    case KIND_value:
        return true;
    case KIND_flag:
        return what == 't';
    case KIND_i64:
        return what == '1' || what == '-';
    case KIND_u32:
    case KIND_u64:
        return what == '1';
    case KIND_texts:
    case KIND_group:
        return what == '[';
    case KIND_labels:
        return what == '{';
    case KIND_one:
        return what == '{';
    default:
        return false; /* a uuid is 16 bytes, and none here is */
    }
}

static void test_wrong_types_are_refused_by_name(void **state)
{
    static const struct {
        char what;
        const char *data;
        size_t size;
    } values[] = {{'s', "\xa1x", 2}, {'b', "\xc4\x01x", 3}, {'t', "\xc3", 1},
                  {'1', "\x01", 1},  {'-', "\xff", 1},      {'f', "\xca\0\0\0\0", 5},
                  {'[', "\x90", 1},  {'{', "\x80", 1},      {'e', "\xd4\x01x", 3}};
    (void)state;
    for (msg_id_t id = 0; id < MSG_COUNT; id++)
        for (size_t i = 0; i < msg_type(id)->field_count; i++)
            for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
                const msg_field_t *field = &msg_type(id)->fields[i];
                status_code_t code = decode_with(id, field->name, values[v].data, values[v].size);
                if (kind_takes(field, values[v].what))
                    continue; /* what is inside an empty map may still be missed */
                assert_int_equal(code, STATUS_INVALID_ARGUMENT);
                AUTO_FREE char *start = util_format("%s: %s ", message_name(id), field->name);
                assert_memory_equal(st.text, start, strlen(start));
            }
}

static void test_inner_records_are_checked(void **state)
{
    (void)state;
    WITH(MSG_bundles, "bundles", "\x91\x80");
    assert_refused("bundles: bundles[0].ns is missing");
    WITH(MSG_bundles, "bundles", "\x91\x01");
    assert_refused("bundles: bundles has an element that is not a map");
    WITH(MSG_header, "peer", "\x81\xa3pid\xa1x");
    assert_refused("header: peer.pid is not a whole number of 64 bits");
    WITH(MSG_task_create, "rootfs", "\x92\x80\x81\xa7options\x01");
    assert_refused("task.create: rootfs[1].options is not an array");
    WITH(MSG_containers, "containers",
         "\x91\x83\xa2ns\xa1n\xa2id\xa1i\xa6rootfs\x92\x80\x81\xa4type\x01");
    assert_refused("containers: containers[0].rootfs[1].type is not a string");
    WITH(MSG_task_kill, "signal", "\xff");
    assert_refused("task.kill: signal is not a whole number of 0 or more");
}

/* A text of `size` bytes as msgpack, in the zone. */
static const char *packed_text(size_t size, size_t *packed)
{
    char *text = msgpack_zone_malloc(&zone, size + 5);
    memcpy(
        text,
        (char[]){(char)0xdb, (char)(size >> 24), (char)(size >> 16), (char)(size >> 8), (char)size},
        5);
    memset(text + 5, 'a', size);
    *packed = size + 5;
    return text;
}

static status_code_t decode_with_text(msg_id_t id, const char *key, size_t size)
{
    size_t packed;
    const char *text = packed_text(size, &packed);
    return decode_with(id, key, text, packed);
}

static void test_limits_of_text(void **state)
{
    (void)state;
    assert_int_equal(decode_with_text(MSG_header, "method", 64), STATUS_OK);
    decode_with_text(MSG_header, "method", 65);
    assert_refused("header: method is 65 bytes long, limit 64");
    assert_int_equal(decode_with_text(MSG_task_get, "id", 76), STATUS_OK);
    decode_with_text(MSG_task_get, "id", 77);
    assert_refused("task.get: id is 77 bytes long, limit 76");
    decode_with_text(MSG_container_create, "runtime", 4096);
    assert_refused("container.create: runtime is 4096 bytes long, limit 4095");
    WITH(MSG_container_create, "runtime", "\xa0");
    assert_refused("container.create: runtime is empty");
    assert_int_equal(WITH(MSG_container_create, "image", "\xa0"), STATUS_OK);
}

static void test_limits_of_bytes(void **state)
{
    (void)state;
    size_t size;
    char *spec = (char *)(uintptr_t)packed_text((4 << 20) + 1, &size);
    spec[0] = (char)0xc6; /* bin 32 in place of str 32 */
    decode_with(MSG_container_create, "spec", spec, size);
    assert_refused("container.create: spec is 4194305 bytes long, limit 4194304");
    spec[4] = 0; /* one byte less */
    assert_int_equal(decode_with(MSG_container_create, "spec", spec, size - 1), STATUS_OK);
    /* A value counts with its own head, as it is packed again: 3 bytes here. */
    assert_int_equal(decode_with_text(MSG_event_publish, "event", 65533), STATUS_OK);
    decode_with_text(MSG_event_publish, "event", 65534);
    assert_refused("event.publish: event is 65537 bytes long, limit 65536");
}

static void test_limits_of_numbers(void **state)
{
    (void)state;
    assert_int_equal(WITH(MSG_task_kill, "signal", "\x40"), STATUS_OK);
    WITH(MSG_task_kill, "signal", "\x41");
    assert_refused("task.kill: signal is 65, limit 64");
    WITH(MSG_started, "pid", "\xcf\0\0\0\x01\0\0\0\0");
    assert_refused("started: pid is 4294967296, limit 4294967295");
    WITH(MSG_header, "deadline", "\xcf\x80\0\0\0\0\0\0\0");
    assert_refused("header: deadline is not a whole number of 64 bits");
    /* Any width will do. */
    assert_int_equal(WITH(MSG_task_kill, "signal", "\xcf\0\0\0\0\0\0\0\x09"), STATUS_OK);
    assert_int_equal(WITH(MSG_task_kill, "signal", "\xd0\x09"), STATUS_OK);
    assert_int_equal(WITH(MSG_task_kill, "signal", "\xd3\0\0\0\0\0\0\0\x09"), STATUS_OK);
}

static void test_limits_of_counts(void **state)
{
    (void)state;
    char array[3 + 257];
    memcpy(array, "\xdc\x01\x01", 3);
    memset(array + 3, 0xa0, 257);
    decode_with(MSG_mount, "options", array, sizeof array);
    assert_refused("mount: options is 257 elements long, limit 256");
    memcpy(array, "\xdc\x00\x81", 3);
    memset(array + 3, 0x80, 129);
    decode_with(MSG_task_create, "rootfs", array, 3 + 129);
    assert_refused("task.create: rootfs is 129 elements long, limit 128");
    WITH(MSG_mount, "options", "\x92\xa1x\x01");
    assert_refused("mount: options has an element that is not a string");
    WITH(MSG_mount, "options", "\x91\xa1\0");
    assert_refused("mount: options has an element that is not UTF-8 text without NUL");
}

/* {"k" * key: "v" * value} as the labels of a namespace. */
static void decode_label(size_t key, size_t value)
{
    size_t key_size, value_size;
    const char *key_text = packed_text(key, &key_size);
    const char *value_text = packed_text(value, &value_size);
    char *map = msgpack_zone_malloc(&zone, 1 + key_size + value_size);
    map[0] = (char)0x81;
    memcpy(map + 1, key_text, key_size);
    memcpy(map + 1 + key_size, value_text, value_size);
    decode_with(MSG_namespace_create, "labels", map, 1 + key_size + value_size);
}

static void test_limits_of_labels(void **state)
{
    (void)state;
    decode_label(96, 4000);
    assert_int_equal(st.code, STATUS_OK);
    decode_label(96, 4001);
    assert_refused("namespace.create: labels is 4097 bytes of key and value, limit 4096");
    decode_label(0, 1);
    assert_refused("namespace.create: labels has an empty key");
    decode_label(1, 0);
    assert_int_equal(st.code, STATUS_OK);
    WITH(MSG_namespace_create, "labels", "\x81\xa1x\x01");
    assert_refused("namespace.create: labels has a key or value that is not a string");
    WITH(MSG_namespace_create, "labels", "\x81\xa1x\xa1\xff");
    assert_refused(
        "namespace.create: labels has a key or value that is not UTF-8 text without NUL");

    char map[3 + 1025 * 3];
    memcpy(map, "\xde\x04\x01", 3);
    for (size_t i = 0; i < 1025; i++)
        memcpy(map + 3 + 3 * i, "\xa1x\xa0", 3);
    decode_with(MSG_namespace_create, "labels", map, sizeof map);
    assert_refused("namespace.create: labels is 1025 entries long, limit 1024");
}

static void test_text_is_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\u00e9",
                                       "\u20ac",
                                       "\U0001f600",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",         "\xc3",     "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xf4\x90\x80\x80",
        "\xff",         "a\xfe"};
    char packed[16];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        int size = snprintf(packed, sizeof packed, "%c%s", (int)(0xa0 + strlen(good[i])), good[i]);
        assert_int_equal(decode_with(MSG_header, "message", packed, (size_t)size), STATUS_OK);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int size = snprintf(packed, sizeof packed, "%c%s", (int)(0xa0 + strlen(bad[i])), bad[i]);
        decode_with(MSG_header, "message", packed, (size_t)size);
        assert_refused("header: message is not UTF-8 text without NUL");
    }
    WITH(MSG_header, "message",
         "\xa3"
         "a\0b");
    assert_refused("header: message is not UTF-8 text without NUL");
}

static void test_identifiers(void **state)
{
    static const char *const good[] = {"a",       "0",       "A9",      "a.b",
                                       "a-b_c.d", "default", "Default", "k8s.io"};
    static const char *const bad[] = {"",      ".",   "..",  "../x", "a/b", "-a", "a-", "a..b",
                                      "a._b",  "a b", "a\n", "\na",  "a:b", "_",  "a_", "\u00e9",
                                      "a\x7f", "/",   "a\\", "a--b", "x.",  ".x", "$a", "a%00"};
    char long_one[78];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(msg_is_identifier(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(msg_is_identifier(bad[i], strlen(bad[i])));
    assert_false(msg_is_identifier("a\0b", 3));
    memset(long_one, 'a', sizeof long_one);
    assert_true(msg_is_identifier(long_one, 76));
    assert_false(msg_is_identifier(long_one, 77));
    WITH(MSG_task_get, "id", "\xa4../x");
    assert_refused("task.get: id is not an identifier: 1-76 letters and digits with single . _ - "
                   "between them");
}

static void test_uuid(void **state)
{
    (void)state;
    WITH(MSG_header, "id",
         "\xc4\x0f"
         "123456789012345");
    assert_refused("header: id is not 16 bytes of binary");
    WITH(MSG_header, "id", "\xc4\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_refused("header: id is all zero");
    msg_uuid_t a, b;
    msg_uuid_new(&a);
    msg_uuid_new(&b);
    assert_memory_not_equal(&a, &b, sizeof a);
}

/* The same key twice is the sender's mistake; the last one counts and nothing breaks. */
static void test_a_key_twice(void **state)
{
    (void)state;
    msgpack_sbuffer_write(&buffer, "\x82\xa2id\xa1x\xa2id\xa1y", 11);
    msg_task_get_t *ask = message_decoded(MSG_task_get, &buffer, &zone, &st);
    assert_non_null(ask);
    assert_string_equal(ask->id, "y");
}

static void test_absent_optional_fields_are_left_out(void **state)
{
    (void)state;
    msg_encode(MSG_task_create, &(msg_task_create_t){.id = "x"}, &buffer);
    assert_int_equal(buffer.size, 6);
    assert_memory_equal(buffer.data, "\x81\xa2id\xa1x", 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_message_goes_there_and_back),
        TEST(table_is_sound),
        TEST(required_fields_are_missed_by_name),
        TEST(unknown_keys_are_ignored),
        TEST(wrong_types_are_refused_by_name),
        TEST(inner_records_are_checked),
        TEST(limits_of_text),
        TEST(limits_of_bytes),
        TEST(limits_of_numbers),
        TEST(limits_of_counts),
        TEST(limits_of_labels),
        TEST(text_is_utf8),
        TEST(identifiers),
        TEST(uuid),
        TEST(a_key_twice),
        TEST(absent_optional_fields_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
