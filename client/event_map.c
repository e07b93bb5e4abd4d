/* Values of event maps by their keys. */
#include "client/event_map.h"

#include "common/util.h"

#include <string.h>

static bool is_text(const msgpack_object *object, const char *text)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           !memcmp(object->via.str.ptr, text, object->via.str.size);
}

const msgpack_object *event_map_value(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++)
        if (is_text(&map->via.map.ptr[i].key, key))
            return &map->via.map.ptr[i].val;
    return NULL;
}

uint64_t event_map_number(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = map ? event_map_value(map, key) : NULL;
    return value && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 : 0;
}

char *event_map_text(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = event_map_value(map, key);
    if (!value || value->type != MSGPACK_OBJECT_STR)
        return NULL;
    return util_format("%.*s", (int)value->via.str.size, value->via.str.ptr);
}

bool event_map_is(const msgpack_object *map, const char *key, const char *text)
{
    const msgpack_object *value = event_map_value(map, key);
    return value && is_text(value, text);
}

bool event_map_first(const msg_bytes_t *array, msgpack_unpacked *ret)
{
    msgpack_unpacked_destroy(ret);
    if (msgpack_unpack_next(ret, (const char *)array->data, array->size, NULL) <= 0 ||
        ret->data.type != MSGPACK_OBJECT_ARRAY || !ret->data.via.array.size)
        return false;
    ret->data = ret->data.via.array.ptr[0];
    return true;
}
