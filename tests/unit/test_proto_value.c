/* Protobuf messages of every kind of field, read back from msgpack. */
#include "common/proto/bootstrap.pb-c.h"
#include "common/proto/events.pb-c.h"
#include "common/proto/events_service.pb-c.h"
#include "common/proto/metrics_v1.pb-c.h"
#include "common/proto/metrics_v2.pb-c.h"
#include "common/proto/runtime_info.pb-c.h"
#include "common/proto_value.h"
#include "common/utf8.h"
#include "common/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <czmq.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>

typedef struct value {
    msgpack_sbuffer buffer;
    msgpack_unpacked unpacked;
} value_t;

static status_code_t pack_bytes(value_t *self, const char *type, const void *data, size_t size,
                                status_t *st)
{
    msgpack_packer packer;
    msgpack_sbuffer_init(&self->buffer);
    msgpack_unpacked_init(&self->unpacked);
    msgpack_packer_init(&packer, &self->buffer, msgpack_sbuffer_write);
    status_code_t code = proto_value_pack(&packer, type, data, size, st);
    if (code) {
        assert_int_equal(self->buffer.size, 0);
        return code;
    }
    size_t offset = 0;
    assert_int_equal(
        msgpack_unpack_next(&self->unpacked, self->buffer.data, self->buffer.size, &offset),
        MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, self->buffer.size);
    return STATUS_OK;
}

static const msgpack_object *pack(value_t *self, const ProtobufCMessage *message)
{
    status_t st;
    size_t size = protobuf_c_message_get_packed_size(message);
    AUTO_FREE uint8_t *data = zmalloc(size + 1);
    protobuf_c_message_pack(message, data);
    assert_int_equal(pack_bytes(self, message->descriptor->name, data, size, &st), STATUS_OK);
    return &self->unpacked.data;
}

static void done(value_t *self)
{
    msgpack_unpacked_destroy(&self->unpacked);
    msgpack_sbuffer_destroy(&self->buffer);
}

/* The value of `key`, NULL when the map has none. */
static const msgpack_object *get(const msgpack_object *map, const char *key)
{
    assert_int_equal(map->type, MSGPACK_OBJECT_MAP);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *at = &map->via.map.ptr[i].key;
        assert_int_equal(at->type, MSGPACK_OBJECT_STR);
        if (at->via.str.size == strlen(key) && memcmp(at->via.str.ptr, key, strlen(key)) == 0)
            return &map->via.map.ptr[i].val;
    }
    return NULL;
}

static void expect_str(const msgpack_object *object, const char *text)
{
    assert_non_null(object);
    assert_int_equal(object->type, MSGPACK_OBJECT_STR);
    assert_int_equal(object->via.str.size, strlen(text));
    assert_memory_equal(object->via.str.ptr, text, strlen(text));
}

static void expect_bin(const msgpack_object *object, const char *bytes, size_t size)
{
    assert_non_null(object);
    assert_int_equal(object->type, MSGPACK_OBJECT_BIN);
    assert_int_equal(object->via.bin.size, size);
    assert_memory_equal(object->via.bin.ptr, bytes, size);
}

static void expect_int(const msgpack_object *object, int64_t number)
{
    assert_non_null(object);
    assert_true(object->type == MSGPACK_OBJECT_POSITIVE_INTEGER ||
                object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
    assert_true(object->via.i64 == number);
}

static void test_exit_event(void **state)
{
    (void)state;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = 1700000000;
    time.nanos = 123456789;
    Containerd__Events__TaskExit event = CONTAINERD__EVENTS__TASK_EXIT__INIT;
    event.container_id = (char *)"c-1";
    event.pid = 4294967295;
    event.exit_status = 137;
    event.exited_at = &time;
    value_t value;
    const msgpack_object *map = pack(&value, &event.base);
    assert_int_equal(map->via.map.size, 5);
    expect_str(get(map, "container_id"), "c-1");
    expect_str(get(map, "id"), "");
    expect_int(get(map, "pid"), 4294967295);
    expect_int(get(map, "exit_status"), 137);
    expect_int(get(map, "exited_at"), 1700000000123456789);
    done(&value);
}

static void test_defaults_are_there_and_absent_messages_are_not(void **state)
{
    (void)state;
    Containerd__Events__TaskCreate event = CONTAINERD__EVENTS__TASK_CREATE__INIT;
    value_t value;
    const msgpack_object *map = pack(&value, &event.base);
    assert_int_equal(map->via.map.size, 5);
    expect_str(get(map, "bundle"), "");
    expect_int(get(map, "pid"), 0);
    assert_null(get(map, "io"));
    assert_int_equal(get(map, "rootfs")->type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(get(map, "rootfs")->via.array.size, 0);
    done(&value);
}

static void test_nested_and_repeated(void **state)
{
    (void)state;
    char *options[] = {(char *)"ro", (char *)"bind"};
    Containerd__Task__V2__Mount mount = CONTAINERD__TASK__V2__MOUNT__INIT;
    mount.type = (char *)"bind";
    mount.options = options;
    mount.n_options = 2;
    Containerd__Task__V2__Mount *mounts[] = {&mount, &mount};
    Containerd__Events__TaskIO io = CONTAINERD__EVENTS__TASK_IO__INIT;
    io.terminal = true;
    io.stdout = (char *)"/out";
    Containerd__Events__TaskCreate event = CONTAINERD__EVENTS__TASK_CREATE__INIT;
    event.rootfs = mounts;
    event.n_rootfs = 2;
    event.io = &io;
    value_t value;
    const msgpack_object *map = pack(&value, &event.base);
    const msgpack_object *rootfs = get(map, "rootfs");
    assert_int_equal(rootfs->via.array.size, 2);
    expect_str(get(&rootfs->via.array.ptr[1], "type"), "bind");
    expect_str(&get(&rootfs->via.array.ptr[1], "options")->via.array.ptr[1], "bind");
    expect_str(get(get(map, "io"), "stdout"), "/out");
    assert_int_equal(get(get(map, "io"), "terminal")->type, MSGPACK_OBJECT_BOOLEAN);
    assert_true(get(get(map, "io"), "terminal")->via.boolean);
    done(&value);
}

static void test_map(void **state)
{
    (void)state;
    Containerd__Events__NamespaceCreate__LabelsEntry entries[3];
    Containerd__Events__NamespaceCreate__LabelsEntry *labels[3];
    static const char *const pairs[3][2] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    for (size_t i = 0; i < 3; i++) {
        containerd__events__namespace_create__labels_entry__init(&entries[i]);
        entries[i].key = (char *)pairs[i][0];
        entries[i].value = (char *)pairs[i][1];
        labels[i] = &entries[i];
    }
    Containerd__Events__NamespaceCreate event = CONTAINERD__EVENTS__NAMESPACE_CREATE__INIT;
    event.labels = labels;
    event.n_labels = 3;
    value_t value;
    const msgpack_object *map = get(pack(&value, &event.base), "labels");
    assert_int_equal(map->via.map.size, 2);
    expect_str(get(map, "a"), "3");
    expect_str(get(map, "b"), "2");
    done(&value);
}

static void test_timestamps(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t expected;
    } cases[] = {
        {-62135596800, 0, 0},
        {-1, 999999999, 0},
        {0, 5, 0},
        {1, 5, 1000000005},
        {1, -5, 1000000000},
        {1, 1000000000, 1000000000},
        {9223372035, 999999999, 9223372035999999999},
        {9223372036, 0, INT64_MAX},
        {INT64_MAX, 0, INT64_MAX},
        {INT64_MIN, INT32_MIN, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        time.seconds = cases[i].seconds;
        time.nanos = cases[i].nanos;
        value_t value;
        expect_int(pack(&value, &time.base), cases[i].expected);
        done(&value);
    }
}

static Google__Protobuf__Any any_of(const char *type, const void *data, size_t size)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)type;
    any.value = (ProtobufCBinaryData){.data = (uint8_t *)data, .len = size};
    return any;
}

static const msgpack_object *pack_envelope(value_t *value, Google__Protobuf__Any *any)
{
    Containerd__Services__Events__Ttrpc__V1__Envelope envelope =
        CONTAINERD__SERVICES__EVENTS__TTRPC__V1__ENVELOPE__INIT;
    envelope.topic = (char *)"/tasks/paused";
    envelope.event = any;
    return get(pack(value, &envelope.base), "event");
}

static void test_any(void **state)
{
    (void)state;
    value_t value;
    Google__Protobuf__Any any = any_of("containerd.events.TaskPaused",
                                       "\x0a\x01"
                                       "c",
                                       3);
    const msgpack_object *map = pack_envelope(&value, &any);
    assert_int_equal(map->via.map.size, 2);
    expect_str(get(map, "type"), "containerd.events.TaskPaused");
    expect_str(get(get(map, "value"), "container_id"), "c");
    done(&value);

    any = any_of("type.googleapis.com/containerd.events.TaskPaused",
                 "\x0a\x01"
                 "c",
                 3);
    map = pack_envelope(&value, &any);
    expect_str(get(map, "type"), "type.googleapis.com/containerd.events.TaskPaused");
    assert_non_null(get(map, "value"));
    done(&value);

    any = any_of("types.containerd.io/opencontainers/runtime-spec/1/Process", "{}", 2);
    map = pack_envelope(&value, &any);
    expect_bin(get(map, "raw"), "{}", 2);
    assert_null(get(map, "value"));
    done(&value);

    any = any_of("containerd.events.TaskPaused", "\xff\xff", 2);
    expect_bin(get(pack_envelope(&value, &any), "raw"), "\xff\xff", 2);
    done(&value);

    any = any_of("", NULL, 0);
    expect_bin(get(pack_envelope(&value, &any), "raw"), "", 0);
    done(&value);
}

/* An Any in an Any in an Any: decoded down to a depth, and raw from there on. */
static void test_any_nested_deeply(void **state)
{
    (void)state;
    enum { DEPTH = 20 };
    uint8_t *data = NULL;
    size_t size = 0;
    for (int i = 0; i < DEPTH; i++) {
        Google__Protobuf__Any any = any_of("google.protobuf.Any", data, size);
        size_t outer = google__protobuf__any__get_packed_size(&any);
        uint8_t *packed = zmalloc(outer);
        google__protobuf__any__pack(&any, packed);
        free(data);
        data = packed;
        size = outer;
    }
    value_t value;
    status_t st;
    assert_int_equal(pack_bytes(&value, "google.protobuf.Any", data, size, &st), STATUS_OK);
    const msgpack_object *at = &value.unpacked.data;
    int depth = 0;
    for (; get(at, "value"); depth++)
        at = get(at, "value");
    assert_non_null(get(at, "raw"));
    assert_int_equal(depth, PROTO_VALUE_DEPTH_MAX);
    done(&value);
    free(data);
}

static void test_text_that_is_no_utf8(void **state)
{
    (void)state;
    Containerd__Events__TaskPaused event = CONTAINERD__EVENTS__TASK_PAUSED__INIT;
    value_t value;
    event.container_id = (char *)"caf\xe9";
    expect_bin(get(pack(&value, &event.base), "container_id"), "caf\xe9", 4);
    done(&value);
    event.container_id = (char *)"caf\xc3\xa9";
    expect_str(get(pack(&value, &event.base), "container_id"), "caf\xc3\xa9");
    done(&value);
}

static void test_metrics(void **state)
{
    (void)state;
    uint64_t per_cpu[] = {1, UINT64_MAX};
    Io__Containerd__Cgroups__V1__CPUUsage usage = IO__CONTAINERD__CGROUPS__V1__CPUUSAGE__INIT;
    usage.total = UINT64_MAX;
    usage.per_cpu = per_cpu;
    usage.n_per_cpu = 2;
    Io__Containerd__Cgroups__V1__CPUStat cpu = IO__CONTAINERD__CGROUPS__V1__CPUSTAT__INIT;
    cpu.usage = &usage;
    Io__Containerd__Cgroups__V1__Metrics v1 = IO__CONTAINERD__CGROUPS__V1__METRICS__INIT;
    v1.cpu = &cpu;
    value_t value;
    const msgpack_object *map = get(get(pack(&value, &v1.base), "cpu"), "usage");
    assert_true(get(map, "total")->via.u64 == UINT64_MAX);
    assert_true(get(map, "per_cpu")->via.array.ptr[1].via.u64 == UINT64_MAX);
    done(&value);

    Io__Containerd__Cgroups__V2__PSIData some = IO__CONTAINERD__CGROUPS__V2__PSIDATA__INIT;
    some.avg10 = 1.5;
    Io__Containerd__Cgroups__V2__PSIStats psi = IO__CONTAINERD__CGROUPS__V2__PSISTATS__INIT;
    psi.some = &some;
    Io__Containerd__Cgroups__V2__CPUStat cpu2 = IO__CONTAINERD__CGROUPS__V2__CPUSTAT__INIT;
    cpu2.psi = &psi;
    Io__Containerd__Cgroups__V2__Metrics v2 = IO__CONTAINERD__CGROUPS__V2__METRICS__INIT;
    v2.cpu = &cpu2;
    map = get(get(get(pack(&value, &v2.base), "cpu"), "psi"), "some");
    assert_true(get(map, "avg10")->via.f64 > 1.4 && get(map, "avg10")->via.f64 < 1.6);
    done(&value);
}

static void test_enum(void **state)
{
    (void)state;
    Containerd__Runtime__Bootstrap__V1__BootstrapParams params =
        CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_PARAMS__INIT;
    params.log_level = CONTAINERD__RUNTIME__BOOTSTRAP__V1__LOG_LEVEL__LOG_LEVEL_TRACE;
    value_t value;
    expect_int(get(pack(&value, &params.base), "log_level"), -8);
    done(&value);
}

static void test_refusals(void **state)
{
    (void)state;
    value_t value;
    status_t st;
    assert_int_equal(pack_bytes(&value, "no.such.Type", "", 0, &st), STATUS_NOT_FOUND);
    assert_string_equal(st.text, "message type no.such.Type is not known");
    done(&value);
    assert_int_equal(pack_bytes(&value, "", "", 0, &st), STATUS_NOT_FOUND);
    done(&value);
    assert_int_equal(pack_bytes(&value, "containerd.events.TaskExit", "\xff", 1, &st),
                     STATUS_INVALID_ARGUMENT);
    done(&value);
    size_t size = PROTO_VALUE_SIZE_MAX + 1;
    AUTO_FREE uint8_t *data = zmalloc(size);
    assert_int_equal(pack_bytes(&value, "containerd.events.TaskExit", data, size, &st),
                     STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "limit"));
    done(&value);
    assert_true(proto_value_is_known("containerd.events.TaskExit"));
    assert_false(proto_value_is_known("containerd.events.Task"));
}

/* Two bytes on the wire, a whole Mount in memory: 2 M of them are refused, not decoded. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    size_t size = PROTO_VALUE_SIZE_MAX;
    AUTO_FREE uint8_t *data = zmalloc(size);
    for (size_t i = 0; i < size; i += 2)
        data[i] = 0x1a; /* field 3, an empty message */
    value_t value;
    status_t st;
    assert_int_equal(pack_bytes(&value, "containerd.events.TaskCreate", data, size, &st),
                     STATUS_INVALID_ARGUMENT);
    done(&value);
    assert_int_equal(pack_bytes(&value, "containerd.events.TaskCreate", data, 2000, &st),
                     STATUS_OK);
    assert_int_equal(get(&value.unpacked.data, "rootfs")->via.array.size, 1000);
    done(&value);
}

/* Whatever the bytes are: one msgpack value or none. */
static void test_random_bytes(void **state)
{
    (void)state;
    static const char *const types[] = {"containerd.events.TaskCreate", "google.protobuf.Any",
                                        "containerd.types.RuntimeInfo",
                                        "io.containerd.cgroups.v1.Metrics"};
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        uint8_t data[64];
        size_t size = (size_t)rand_r(&seed) % sizeof data;
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(rand_r(&seed) % 4 ? rand_r(&seed) % 0x40 : rand_r(&seed));
        value_t value;
        status_t st;
        (void)pack_bytes(&value, types[round % 4], data, size, &st);
        done(&value);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    assert_true(utf8_is_valid("", 0));
    assert_true(utf8_is_valid("a\0b", 3));
    assert_true(utf8_is_valid("\xf4\x8f\xbf\xbf", 4));
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xf4\x90\x80\x80",
        "\xe2\x82"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(utf8_is_valid(bad[i], strlen(bad[i])));
    char text[] = "a\xff\xe2\x82\xac\xe2\x82";
    utf8_repair(text);
    assert_string_equal(text, "a?\xe2\x82\xac??");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_event),
        cmocka_unit_test(test_defaults_are_there_and_absent_messages_are_not),
        cmocka_unit_test(test_nested_and_repeated),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_any_nested_deeply),
        cmocka_unit_test(test_text_that_is_no_utf8),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_enum),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
