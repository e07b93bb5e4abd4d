/* The fields of an event while they are packed: the same forms as common/proto_value.h gives those
 * of a shim, so that texts are there even when they are empty, and times are nanoseconds. */
#ifndef SHIMD_METADATA_EVENT_FIELDS_H
#define SHIMD_METADATA_EVENT_FIELDS_H

#include "common/message.h"

typedef struct event_fields {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
} event_fields_t;

/* `count` fields follow. */
void event_fields_begin(event_fields_t *self, size_t count);
void event_fields_end(event_fields_t *self); /* frees them */

void event_fields_name(event_fields_t *self, const char *name); /* its value follows */
void event_fields_text(event_fields_t *self, const char *name, const char *value); /* NULL: "" */
void event_fields_number(event_fields_t *self, const char *name, uint64_t value);

/* Valid until the end. */
msg_bytes_t event_fields_bytes(const event_fields_t *self);

#endif
