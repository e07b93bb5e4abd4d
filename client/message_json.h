/* Records of the wire as JSON, by the table of messages. */
#ifndef SHIMD_MESSAGE_JSON_H
#define SHIMD_MESSAGE_JSON_H

#include "common/message.h"

#include <jansson.h>

/* The struct of `id` as an object: fields under their names, in the table's order; absent optional
 * ones are left out. bytes are base64, a uuid its text form, a value what it is. The caller owns
 * it. Never NULL: aborts when memory is short. */
json_t *message_json(msg_id_t id, const void *value);

/* Any msgpack as JSON. Binary and text that is no UTF-8 become base64, numbers beyond JSON's become
 * text, map keys become text. null when it is no msgpack. */
json_t *message_json_value(const void *data, size_t size);
json_t *message_json_object(const msgpack_object *object);

/* Base64 text as a JSON string. */
json_t *message_json_base64(const void *data, size_t size);

/* JSON text in a field of bytes, read; null when it is no JSON. */
json_t *message_json_text(const msg_bytes_t *text);

#endif
