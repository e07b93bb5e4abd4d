/* Filters: the fields of records and of events. */
#include "common/filter.h"

#include <string.h>

static bool is_text(filter_text_t text, const char *name)
{
    return text.size == strlen(name) && !memcmp(text.data, name, text.size);
}

/* Whether what the path has from part `from` on, joined by points, is this text. */
static bool path_is(const filter_path_t *path, size_t from, const char *text, size_t size)
{
    for (size_t i = from; i < path->count; i++) {
        const filter_text_t *part = &path->parts[i];
        size_t point = i > from;
        if (size < point + part->size || (point && *text != '.') ||
            memcmp(text + point, part->data, part->size))
            return false;
        text += point + part->size;
        size -= point + part->size;
    }
    return size == 0;
}

/* Names of fields whose numbers are nanoseconds since the epoch: time, created_at, ... */
static bool is_time_name(const char *name, size_t size)
{
    return (size == 4 && !memcmp(name, "time", 4)) ||
           (size > 3 && !memcmp(name + size - 3, "_at", 3));
}

/* The forms of values ---------------------------------------------------------------------------
 */

/* A time of 0 is one that has not come yet. */
static bool set_signed(const char *name, size_t size, int64_t number, filter_value_t *ret)
{
    if (is_time_name(name, size)) {
        *ret = (filter_value_t){.kind = FILTER_TIME, .time = number};
        return number != 0;
    }
    *ret = (filter_value_t){.kind = FILTER_NUMBER, .number = (long double)number};
    return true;
}

static bool set_unsigned(const char *name, size_t size, uint64_t number, filter_value_t *ret)
{
    if (number <= INT64_MAX)
        return set_signed(name, size, (int64_t)number, ret);
    *ret = (filter_value_t){.kind = FILTER_NUMBER, .number = (long double)number};
    return true;
}

static bool set_text(const char *text, size_t size, filter_value_t *ret)
{
    *ret = (filter_value_t){.kind = FILTER_TEXT, .text = {.data = size ? text : "", .size = size}};
    return true;
}

static bool set_flag(bool flag, filter_value_t *ret)
{
    return flag ? set_text("true", 4, ret) : set_text("false", 5, ret);
}

/* Records ---------------------------------------------------------------------------------------
 */

typedef struct record {
    msg_id_t id;
    const void *value;
} record_t;

static const msg_field_t *field_named(msg_id_t id, filter_text_t name)
{
    const msg_type_t *type = msg_type(id);
    if (is_text(name, "namespace"))
        name = (filter_text_t){.data = "ns", .size = 2};
    for (size_t i = 0; i < type->field_count; i++)
        if (is_text(name, type->fields[i].name))
            return &type->fields[i];
    return NULL;
}

static bool label_named(const msg_labels_t *labels, const filter_path_t *path, size_t from,
                        filter_value_t *ret)
{
    for (size_t i = 0; from < path->count && i < labels->count; i++) {
        const msg_label_t *label = &labels->items[i];
        if (path_is(path, from, label->key, strlen(label->key)))
            return set_text(label->value, strlen(label->value), ret);
    }
    return false;
}

/* The value of a field that has no fields of its own. */
static bool simple_field(const msg_field_t *field, const void *at, filter_value_t *ret)
{
    size_t size = strlen(field->name);
    switch (field->kind) {
    case KIND_ident:
    case KIND_text: {
        const char *text = *(const char *const *)at;
        return text && *text && set_text(text, strlen(text), ret);
    }
    case KIND_flag:
        return set_flag(*(const bool *)at, ret);
    case KIND_i64:
        return set_signed(field->name, size, *(const int64_t *)at, ret);
    case KIND_u32:
        return set_unsigned(field->name, size, *(const uint32_t *)at, ret);
    case KIND_u64:
        return set_unsigned(field->name, size, *(const uint64_t *)at, ret);
    default:
        return false; /* bytes, arrays and what is inside has nothing to compare with */
    }
}

static bool record_field(const record_t *record, const filter_path_t *path, size_t from,
                         filter_value_t *ret)
{
    const msg_field_t *field =
        from < path->count ? field_named(record->id, path->parts[from]) : NULL;
    if (!field)
        return false;
    const void *at = (const char *)record->value + field->offset;
    if (field->kind == KIND_labels)
        return label_named(at, path, from + 1, ret);
    if (field->kind == KIND_one) {
        record_t inner = {.id = field->record, .value = *(const void *const *)at};
        return inner.value && record_field(&inner, path, from + 1, ret);
    }
    bool is_runtime_name = from + 2 == path->count && !strcmp(field->name, "runtime") &&
                           is_text(path->parts[from + 1], "name");
    return (from + 1 == path->count || is_runtime_name) && simple_field(field, at, ret);
}

static bool adapt_record(const void *object, const filter_path_t *path, filter_value_t *ret)
{
    return record_field(object, path, 0, ret);
}

bool filter_match_record(filter_t *self, msg_id_t id, const void *value)
{
    const record_t record = {.id = id, .value = value};
    return filter_match(self, adapt_record, &record);
}

/* Events ----------------------------------------------------------------------------------------
 */

/* Only labels may have an empty text for a value: elsewhere it is how protobuf says nothing. */
static bool object_value(const msgpack_object_str *key, const msgpack_object *object, bool is_label,
                         filter_value_t *ret)
{
    switch (object->type) {
    case MSGPACK_OBJECT_STR:
        return set_text(object->via.str.ptr, object->via.str.size, ret) &&
               (is_label || object->via.str.size);
    case MSGPACK_OBJECT_BOOLEAN:
        return set_flag(object->via.boolean, ret);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return set_unsigned(key->ptr, key->size, object->via.u64, ret);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return set_signed(key->ptr, key->size, object->via.i64, ret);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *ret = (filter_value_t){.kind = FILTER_NUMBER, .number = object->via.f64};
        return true;
    default:
        return false;
    }
}

/* The entry whose key is part `from` of the path up to, not including, part `end`. */
static const msgpack_object_kv *entry_of(const msgpack_object *map, const filter_path_t *path,
                                         size_t from, size_t end)
{
    const filter_path_t head = {.parts = path->parts, .count = end};
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object_kv *entry = &map->via.map.ptr[i];
        if (entry->key.type == MSGPACK_OBJECT_STR &&
            path_is(&head, from, entry->key.via.str.ptr, entry->key.via.str.size))
            return entry;
    }
    return NULL;
}

/* A key may have points in it: all that is left of the path is tried before its next part. */
static bool map_field(const msgpack_object *map, const filter_path_t *path, size_t from,
                      filter_value_t *ret)
{
    const msgpack_object_kv *entry = entry_of(map, path, from, path->count);
    if (entry)
        return object_value(&entry->key.via.str, &entry->val,
                            from > 0 && is_text(path->parts[from - 1], "labels"), ret);
    if (from + 1 == path->count)
        return false;
    entry = entry_of(map, path, from, from + 1);
    return entry && map_field(&entry->val, path, from + 1, ret);
}

static bool adapt_event(const void *object, const filter_path_t *path, filter_value_t *ret)
{
    static const filter_text_t ns = {.data = "ns", .size = 2};
    static const filter_path_t ns_path = {.parts = &ns, .count = 1};
    bool is_ns = path->count == 1 && is_text(path->parts[0], "namespace");
    return map_field(object, is_ns ? &ns_path : path, 0, ret);
}

bool filter_match_event(filter_t *self, const msgpack_object *event)
{
    return filter_match(self, adapt_event, event);
}
