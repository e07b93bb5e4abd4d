/* Records of the wire as JSON, by the table of messages. */
#include "client/message_json.h"

#include "common/util.h"

#include <czmq.h>
#include <math.h>
#include <uuid/uuid.h>

static json_t *must(json_t *value)
{
    if (!value)
        abort();
    return value;
}

static void set(json_t *object, const char *key, size_t key_size, json_t *value)
{
    AUTO_FREE char *name = util_format("%.*s", (int)key_size, key);
    /* A key that is no UTF-8 cannot stand in JSON; it is left out rather than spoil the line. */
    if (json_object_set_new(object, name, value))
        errno = 0;
}

json_t *message_json_base64(const void *data, size_t size)
{
    zarmour_t *armour = zarmour_new();
    zarmour_set_mode(armour, ZARMOUR_MODE_BASE64_STD);
    AUTO_FREE char *text = zarmour_encode(armour, data, size);
    zarmour_destroy(&armour);
    return must(json_string(text ? text : ""));
}

/* Values ----------------------------------------------------------------------------------------
 */

static json_t *unsigned_json(uint64_t number)
{
    if (number <= INT64_MAX)
        return must(json_integer((json_int_t)number));
    AUTO_FREE char *text = util_format("%" PRIu64, number);
    return must(json_string(text));
}

static json_t *text_json(const char *text, size_t size)
{
    json_t *value = size ? json_stringn(text, size) : json_string("");
    return value ? value : message_json_base64(text, size);
}

static json_t *array_json(const msgpack_object_array *array)
{
    json_t *value = must(json_array());
    for (uint32_t i = 0; i < array->size; i++)
        json_array_append_new(value, message_json_object(&array->ptr[i]));
    return value;
}

static json_t *map_json(const msgpack_object_map *map)
{
    json_t *value = must(json_object());
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        json_t *item = message_json_object(&map->ptr[i].val);
        if (key->type == MSGPACK_OBJECT_STR) {
            set(value, key->via.str.ptr, key->via.str.size, item);
            continue;
        }
        json_t *name = message_json_object(key);
        AUTO_FREE char *text = json_dumps(name, JSON_ENCODE_ANY | JSON_COMPACT);
        set(value, text ? text : "", text ? strlen(text) : 0, item);
        json_decref(name);
    }
    return value;
}

json_t *message_json_object(const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return must(json_boolean(object->via.boolean));
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return unsigned_json(object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return must(json_integer(object->via.i64));
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return must(isfinite(object->via.f64) ? json_real(object->via.f64) : json_null());
    case MSGPACK_OBJECT_STR:
        return text_json(object->via.str.ptr, object->via.str.size);
    case MSGPACK_OBJECT_BIN:
        return message_json_base64(object->via.bin.ptr, object->via.bin.size);
    case MSGPACK_OBJECT_EXT:
        return message_json_base64(object->via.ext.ptr, object->via.ext.size);
    case MSGPACK_OBJECT_ARRAY:
        return array_json(&object->via.array);
    case MSGPACK_OBJECT_MAP:
        return map_json(&object->via.map);
    case MSGPACK_OBJECT_NIL:
        break;
    }
    return must(json_null());
}

json_t *message_json_value(const void *data, size_t size)
{
    status_t st;
    if (!data || msg_scan(data, size, &st))
        return must(json_null());
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    json_t *value = NULL;
    if (msgpack_unpack_next(&unpacked, data, size, NULL) == MSGPACK_UNPACK_SUCCESS)
        value = message_json_object(&unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return must(value ? value : json_null());
}

/* Fields ----------------------------------------------------------------------------------------
 */

static json_t *texts_json(const msg_texts_t *texts)
{
    json_t *value = must(json_array());
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(value, text_json(texts->items[i], strlen(texts->items[i])));
    return value;
}

static json_t *labels_json(const msg_labels_t *labels)
{
    json_t *value = must(json_object());
    for (size_t i = 0; i < labels->count; i++) {
        const msg_label_t *label = &labels->items[i];
        set(value, label->key, strlen(label->key), text_json(label->value, strlen(label->value)));
    }
    return value;
}

static json_t *group_json(msg_id_t record, const msg_group_t *group)
{
    json_t *value = must(json_array());
    for (size_t i = 0; i < group->count; i++)
        json_array_append_new(
            value, message_json(record, (const char *)group->items + i * msg_type(record)->size));
    return value;
}

static json_t *uuid_json(const msg_uuid_t *uuid)
{
    char text[UTIL_UUID_SIZE];
    if (!msg_uuid_is_set(uuid))
        return NULL;
    uuid_unparse_lower(uuid->bytes, text);
    return must(json_string(text));
}

/* NULL for texts, bytes and records that are absent. */
static json_t *field_json(const msg_field_t *field, const void *at)
{
    const msg_bytes_t *bytes = at;
    switch (field->kind) {
    case KIND_ident:
    case KIND_text: {
        const char *text = *(const char *const *)at;
        return text ? text_json(text, strlen(text)) : NULL;
    }
    case KIND_bytes:
        return bytes->data ? message_json_base64(bytes->data, bytes->size) : NULL;
    case KIND_value:
        return bytes->data ? message_json_value(bytes->data, bytes->size) : NULL;
    case KIND_flag:
        return must(json_boolean(*(const bool *)at));
    case KIND_i64:
        return must(json_integer(*(const int64_t *)at));
    case KIND_u32:
        return must(json_integer(*(const uint32_t *)at));
    case KIND_u64:
        return unsigned_json(*(const uint64_t *)at);
    case KIND_texts:
        return texts_json(at);
    case KIND_labels:
        return labels_json(at);
    case KIND_uuid:
        return uuid_json(at);
    case KIND_one:
        return *(const void *const *)at ? message_json(field->record, *(const void *const *)at)
                                        : NULL;
    case KIND_group:
        return group_json(field->record, at);
    }
    return NULL;
}

/* A field that says nothing: optional, and zero, false or without elements. */
static bool is_nothing(const msg_field_t *field, const json_t *value)
{
    if (field->required || !value)
        return !value;
    if (json_is_integer(value))
        return json_integer_value(value) == 0;
    return json_is_false(value) || (json_is_array(value) && !json_array_size(value)) ||
           (field->kind == KIND_labels && !json_object_size(value));
}

json_t *message_json(msg_id_t id, const void *value)
{
    const msg_type_t *type = msg_type(id);
    json_t *object = must(json_object());
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        json_t *item = field_json(field, (const char *)value + field->offset);
        if (is_nothing(field, item))
            json_decref(item);
        else
            set(object, field->name, strlen(field->name), item);
    }
    return object;
}

json_t *message_json_text(const msg_bytes_t *text)
{
    json_t *value = json_loadb((const char *)text->data, text->size, JSON_REJECT_DUPLICATES, NULL);
    return value ? value : json_null();
}
