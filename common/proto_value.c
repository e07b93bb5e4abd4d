/* Encoded protobuf messages as msgpack maps, by walking protobuf-c's descriptors. */
#include "common/proto_value.h"

#include "common/proto/bootstrap.pb-c.h"
#include "common/proto/events.pb-c.h"
#include "common/proto/events_service.pb-c.h"
#include "common/proto/metrics_v1.pb-c.h"
#include "common/proto/metrics_v2.pb-c.h"
#include "common/proto/runc_options.pb-c.h"
#include "common/proto/runtime_info.pb-c.h"
#include "common/proto/runtime_options.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "common/utf8.h"
#include "common/util.h"

#include <assert.h>
#include <czmq.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/empty.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <string.h>

#define NS_PER_SECOND 1000000000

/* The types that come by name: in an event, an Any, a stored record. Messages that only stand
 * inside others need no row. */
static const ProtobufCMessageDescriptor *const known_types[] = {
    &containerd__events__container_create__descriptor,
    &containerd__events__container_delete__descriptor,
    &containerd__events__container_update__descriptor,
    &containerd__events__namespace_create__descriptor,
    &containerd__events__namespace_delete__descriptor,
    &containerd__events__namespace_update__descriptor,
    &containerd__events__sandbox_create__descriptor,
    &containerd__events__sandbox_exit__descriptor,
    &containerd__events__sandbox_start__descriptor,
    &containerd__events__task_checkpointed__descriptor,
    &containerd__events__task_create__descriptor,
    &containerd__events__task_delete__descriptor,
    &containerd__events__task_exec_added__descriptor,
    &containerd__events__task_exec_started__descriptor,
    &containerd__events__task_exit__descriptor,
    &containerd__events__task_oom__descriptor,
    &containerd__events__task_paused__descriptor,
    &containerd__events__task_resumed__descriptor,
    &containerd__events__task_start__descriptor,
    &containerd__runc__v1__checkpoint_options__descriptor,
    &containerd__runc__v1__options__descriptor,
    &containerd__runc__v1__process_details__descriptor,
    &containerd__runtime__bootstrap__v1__bootstrap_params__descriptor,
    &containerd__runtime__bootstrap__v1__bootstrap_result__descriptor,
    &containerd__services__events__ttrpc__v1__envelope__descriptor,
    &containerd__services__events__ttrpc__v1__forward_request__descriptor,
    &containerd__task__v2__checkpoint_task_request__descriptor,
    &containerd__task__v2__close_iorequest__descriptor,
    &containerd__task__v2__connect_request__descriptor,
    &containerd__task__v2__connect_response__descriptor,
    &containerd__task__v2__create_task_request__descriptor,
    &containerd__task__v2__create_task_response__descriptor,
    &containerd__task__v2__delete_request__descriptor,
    &containerd__task__v2__delete_response__descriptor,
    &containerd__task__v2__exec_process_request__descriptor,
    &containerd__task__v2__kill_request__descriptor,
    &containerd__task__v2__pause_request__descriptor,
    &containerd__task__v2__pids_request__descriptor,
    &containerd__task__v2__pids_response__descriptor,
    &containerd__task__v2__resize_pty_request__descriptor,
    &containerd__task__v2__resume_request__descriptor,
    &containerd__task__v2__shutdown_request__descriptor,
    &containerd__task__v2__start_request__descriptor,
    &containerd__task__v2__start_response__descriptor,
    &containerd__task__v2__state_request__descriptor,
    &containerd__task__v2__state_response__descriptor,
    &containerd__task__v2__stats_request__descriptor,
    &containerd__task__v2__stats_response__descriptor,
    &containerd__task__v2__update_task_request__descriptor,
    &containerd__task__v2__wait_request__descriptor,
    &containerd__task__v2__wait_response__descriptor,
    &containerd__types__runtime_info__descriptor,
    &google__protobuf__any__descriptor,
    &google__protobuf__empty__descriptor,
    &google__protobuf__timestamp__descriptor,
    &io__containerd__cgroups__v1__metrics__descriptor,
    &io__containerd__cgroups__v2__metrics__descriptor,
    &runtimeoptions__v1__options__descriptor,
};

/* Finding and decoding ---------------------------------------------------------------------------
 */

static const ProtobufCMessageDescriptor *find_type(const char *type_name)
{
    const char *slash = strrchr(type_name, '/');
    const char *name = slash ? slash + 1 : type_name;
    for (size_t i = 0; i < ARRAY_SIZE(known_types); i++)
        if (strcmp(known_types[i]->name, name) == 0)
            return known_types[i];
    return NULL;
}

bool proto_value_is_known(const char *type_name)
{
    return find_type(type_name) != NULL;
}

/* A few bytes on the wire can be a large struct in memory, so the allocator counts. What is freed
 * in between is not given back: decoding only ever adds. */
static void *counted_alloc(void *budget, size_t size)
{
    size_t *left = budget;
    if (size > *left)
        return NULL;
    *left -= size;
    return malloc(size);
}

static void counted_free(void *budget, void *memory)
{
    (void)budget;
    free(memory);
}

static ProtobufCMessage *decode(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                size_t size)
{
    size_t budget = PROTO_VALUE_MEMORY_MAX;
    ProtobufCAllocator allocator = {counted_alloc, counted_free, &budget};
    return protobuf_c_message_unpack(type, &allocator, size, data);
}

static void release(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {counted_alloc, counted_free, NULL};
    protobuf_c_message_free_unpacked(message, &allocator);
}

/* Packing ----------------------------------------------------------------------------------------
 */

static void pack_message(msgpack_packer *packer, const ProtobufCMessage *message, int depth);

static void pack_str(msgpack_packer *packer, const char *text)
{
    size_t size = strlen(text);
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, text, size);
}

static void pack_bin(msgpack_packer *packer, const void *data, size_t size)
{
    msgpack_pack_bin(packer, size);
    msgpack_pack_bin_body(packer, data, size);
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    if (!text)
        text = "";
    if (utf8_is_valid(text, strlen(text)))
        pack_str(packer, text);
    else
        pack_bin(packer, text, strlen(text));
}

static void pack_timestamp(msgpack_packer *packer, const Google__Protobuf__Timestamp *time)
{
    int64_t nanos = time->nanos > 0 && time->nanos < NS_PER_SECOND ? time->nanos : 0;
    if (time->seconds <= 0)
        msgpack_pack_int64(packer, 0);
    else if (time->seconds >= INT64_MAX / NS_PER_SECOND)
        msgpack_pack_int64(packer, INT64_MAX);
    else
        msgpack_pack_int64(packer, time->seconds * NS_PER_SECOND + nanos);
}

static void pack_any(msgpack_packer *packer, const Google__Protobuf__Any *any, int depth)
{
    const char *url = any->type_url ? any->type_url : "";
    const ProtobufCMessageDescriptor *type = depth < PROTO_VALUE_DEPTH_MAX ? find_type(url) : NULL;
    ProtobufCMessage *value = type ? decode(type, any->value.data, any->value.len) : NULL;
    msgpack_pack_map(packer, 2);
    pack_str(packer, "type");
    pack_text(packer, url);
    pack_str(packer, value ? "value" : "raw");
    if (value)
        pack_message(packer, value, depth + 1);
    else
        pack_bin(packer, any->value.data, any->value.len);
    if (value)
        release(value);
}

static size_t element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    abort();
}

/* One value of a field; `at` is where the struct, or the array of a repeated field, has it. */
static void pack_element(msgpack_packer *packer, ProtobufCType type, const void *at, int depth)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        msgpack_pack_int32(packer, *(const int32_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        msgpack_pack_uint32(packer, *(const uint32_t *)at);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        msgpack_pack_int64(packer, *(const int64_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        msgpack_pack_uint64(packer, *(const uint64_t *)at);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
        msgpack_pack_float(packer, *(const float *)at);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        msgpack_pack_double(packer, *(const double *)at);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        *(const protobuf_c_boolean *)at ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        return;
    case PROTOBUF_C_TYPE_STRING:
        pack_text(packer, *(char *const *)at);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        pack_bin(packer, ((const ProtobufCBinaryData *)at)->data,
                 ((const ProtobufCBinaryData *)at)->len);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        pack_message(packer, *(ProtobufCMessage *const *)at, depth);
        return;
    }
}

/* protobuf-c does not say which repeated messages were written as map<>; protoc's naming does: the
 * entry of `labels` is a nested message LabelsEntry of `key` and `value`. */
static bool is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    size_t length = strlen(entry->name);
    return length > strlen("Entry") &&
           strcmp(entry->name + length - strlen("Entry"), "Entry") == 0 && entry->n_fields == 2 &&
           strcmp(entry->fields[0].name, "key") == 0 &&
           strcmp(entry->fields[1].name, "value") == 0 &&
           entry->fields[0].type == PROTOBUF_C_TYPE_STRING &&
           entry->fields[1].type != PROTOBUF_C_TYPE_MESSAGE;
}

static const char *entry_key(const ProtobufCMessage *entry)
{
    const uint8_t *at = (const uint8_t *)entry + entry->descriptor->fields[0].offset;
    const char *key = *(char *const *)at;
    return key ? key : "";
}

static void pack_map(msgpack_packer *packer, ProtobufCMessage *const *entries, size_t count,
                     int depth)
{
    zhashx_t *last = zhashx_new();
    for (size_t i = 0; i < count; i++)
        zhashx_update(last, entry_key(entries[i]), entries[i]);
    msgpack_pack_map(packer, zhashx_size(last));
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessage *entry = entries[i];
        if (zhashx_lookup(last, entry_key(entry)) != entry)
            continue;
        const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[1];
        pack_text(packer, entry_key(entry));
        pack_element(packer, value->type, (const uint8_t *)entry + value->offset, depth);
    }
    zhashx_destroy(&last);
}

static void pack_repeated(msgpack_packer *packer, const ProtobufCFieldDescriptor *field,
                          const uint8_t *message, int depth)
{
    size_t count = *(const size_t *)(const void *)(message + field->quantifier_offset);
    const uint8_t *array = *(uint8_t *const *)(const void *)(message + field->offset);
    if (is_map(field)) {
        pack_map(packer, (ProtobufCMessage *const *)(const void *)array, count, depth);
        return;
    }
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_element(packer, field->type, array + i * element_size(field->type), depth);
}

static bool is_absent(const ProtobufCFieldDescriptor *field, const uint8_t *message)
{
    return field->label != PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE &&
           !*(void *const *)(const void *)(message + field->offset);
}

static void pack_fields(msgpack_packer *packer, const ProtobufCMessage *message, int depth)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const uint8_t *at = (const uint8_t *)message;
    size_t present = 0;
    for (unsigned i = 0; i < type->n_fields; i++)
        present += !is_absent(&type->fields[i], at);
    msgpack_pack_map(packer, present);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (is_absent(field, at))
            continue;
        pack_str(packer, field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            pack_repeated(packer, field, at, depth);
        else
            pack_element(packer, field->type, at + field->offset, depth);
    }
}

static void pack_message(msgpack_packer *packer, const ProtobufCMessage *message, int depth)
{
    if (message->descriptor == &google__protobuf__timestamp__descriptor)
        pack_timestamp(packer, (const Google__Protobuf__Timestamp *)message);
    else if (message->descriptor == &google__protobuf__any__descriptor)
        pack_any(packer, (const Google__Protobuf__Any *)message, depth);
    else
        pack_fields(packer, message, depth);
}

status_code_t proto_value_pack(msgpack_packer *packer, const char *type_name, const uint8_t *data,
                               size_t size, status_t *st)
{
    const ProtobufCMessageDescriptor *type = find_type(type_name);
    if (!type)
        return status_set(st, STATUS_NOT_FOUND, "message type %s is not known", type_name);
    if (size > PROTO_VALUE_SIZE_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s is %zu bytes long, limit %d", type_name,
                          size, PROTO_VALUE_SIZE_MAX);
    ProtobufCMessage *message = decode(type, data, size);
    if (!message)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%zu bytes are no %s", size, type_name);
    pack_message(packer, message, 0);
    release(message);
    return STATUS_OK;
}
