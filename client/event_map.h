/* Values of event maps by their keys. */
#ifndef SHIMD_EVENT_MAP_H
#define SHIMD_EVENT_MAP_H

#include "common/message.h"

/* NULL when the object is no map or has no such key. */
const msgpack_object *event_map_value(const msgpack_object *map, const char *key);

/* 0 when it is no number of 0 or more; `map` may be NULL. */
uint64_t event_map_number(const msgpack_object *map, const char *key);

/* The caller frees. NULL when it is no text. */
char *event_map_text(const msgpack_object *map, const char *key);
bool event_map_is(const msgpack_object *map, const char *key, const char *text);

/* Puts the first element of an encoded array into `ret`, which the caller destroys in any case. */
bool event_map_first(const msg_bytes_t *array, msgpack_unpacked *ret);

#endif
