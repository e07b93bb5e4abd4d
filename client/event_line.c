/* Events as `ctr events` prints them. */
#include "client/event_line.h"

#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#include <czmq.h>

static bool is_key(const msgpack_object *key, const char *name)
{
    return key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(name) &&
           !memcmp(key->via.str.ptr, name, key->via.str.size);
}

static void read_number(const msgpack_object *value, uint64_t *ret)
{
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        *ret = value->via.u64;
}

bool event_line_read(const msgpack_object *object, event_line_t *ret)
{
    uint64_t time = 0;
    *ret = (event_line_t){0};
    if (object->type != MSGPACK_OBJECT_MAP)
        return false;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object *key = &object->via.map.ptr[i].key;
        const msgpack_object *value = &object->via.map.ptr[i].val;
        if (is_key(key, "seq"))
            read_number(value, &ret->seq);
        else if (is_key(key, "time"))
            read_number(value, &time);
        else if (is_key(key, "ns") && value->type == MSGPACK_OBJECT_STR)
            ret->ns = &value->via.str;
        else if (is_key(key, "topic") && value->type == MSGPACK_OBJECT_STR)
            ret->topic = &value->via.str;
        else if (is_key(key, "event") && value->type == MSGPACK_OBJECT_MAP)
            ret->event = value;
        else if (is_key(key, "raw"))
            ret->raw = value;
        else if (is_key(key, "type"))
            ret->type = value;
        else if (is_key(key, "reason") && value->type == MSGPACK_OBJECT_STR)
            ret->reason = &value->via.str;
    }
    ret->time = (int64_t)time;
    return ret->ns && ret->topic;
}

/* What `omitempty` leaves out. */
static bool is_empty(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
    case JSON_FALSE:
        return true;
    case JSON_STRING:
        return !json_string_length(value);
    case JSON_INTEGER:
        return !json_integer_value(value);
    case JSON_REAL:
    case JSON_TRUE:
        return false;
    case JSON_ARRAY:
        return !json_array_size(value);
    case JSON_OBJECT:
        return !json_object_size(value);
    }
    return false;
}

static json_t *time_json(const json_t *value)
{
    char text[OUTPUT_TIME_SIZE];
    output_rfc3339(json_integer_value(value), text);
    return json_string(text);
}

static json_t *go_json(const json_t *value);

/* google.protobuf.Any, which the journal keeps as `type` with `raw` or a decoded `value`. */
static json_t *any_json(const json_t *value)
{
    json_t *made = json_object();
    json_t *content = json_object_get(value, "raw");
    json_object_set(made, "type_url", json_object_get(value, "type"));
    if (!content)
        content = json_object_get(value, "value");
    if (content && !is_empty(content))
        json_object_set(made, "value", content);
    return made;
}

/* A field of the generated structs. A time is a struct there, which is never empty; labels keep
 * their empty values, for a map's elements are no fields. */
static json_t *go_field(const char *name, const json_t *value)
{
    size_t size = strlen(name);
    if (size > 3 && !strcmp(name + size - 3, "_at") && json_is_integer(value))
        return time_json(value);
    if (is_empty(value))
        return NULL;
    if (!strcmp(name, "labels"))
        return json_deep_copy(value);
    if (!strcmp(name, "options") && json_object_get(value, "type"))
        return any_json(value);
    json_t *made = go_json(value);
    if (is_empty(made)) {
        json_decref(made);
        return NULL;
    }
    return made;
}

static json_t *go_json(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t index;
    json_t *made;
    if (json_is_object(value)) {
        made = json_object();
        json_object_foreach((json_t *)value, key, item)
        {
            json_t *field = go_field(key, item);
            if (field)
                json_object_set_new(made, key, field);
        }
        return made;
    }
    if (!json_is_array(value))
        return json_deep_copy(value);
    made = json_array();
    json_array_foreach(value, index, item) json_array_append_new(made, go_json(item));
    return made;
}

/* The characters that encoding/json escapes can only stand inside JSON's strings. */
static char *escape(const char *text)
{
    char *made = zmalloc(6 * strlen(text) + 1);
    char *at = made;
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&')
            at += snprintf(at, 7, "\\u%04x", *text);
        else
            *at++ = *text;
    }
    *at = '\0';
    return made;
}

static char *fields_text(const event_line_t *line)
{
    json_t *fields;
    if (line->event) {
        json_t *plain = message_json_object(line->event);
        fields = go_json(plain);
        json_decref(plain);
    } else {
        fields = json_object();
        if (line->type)
            json_object_set_new(fields, "type_url", message_json_object(line->type));
        if (line->raw)
            json_object_set_new(fields, "value", message_json_object(line->raw));
    }
    AUTO_FREE char *text = json_dumps(fields, JSON_COMPACT);
    json_decref(fields);
    return escape(text ? text : "{}");
}

char *event_line_text(const event_line_t *line)
{
    char time[OUTPUT_TIME_SIZE];
    AUTO_FREE char *fields = fields_text(line);
    output_go_time(line->time, time);
    AUTO_FREE char *place = util_format("%s %.*s %.*s", time, (int)line->ns->size, line->ns->ptr,
                                        (int)line->topic->size, line->topic->ptr);
    output_tame(place);
    if (line->reason)
        return util_format("%s %s # %.*s", place, fields, (int)line->reason->size,
                           line->reason->ptr);
    return util_format("%s %s", place, fields);
}
