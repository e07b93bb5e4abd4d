/* The fields of an event while they are packed. */
#include "workers/metadata/event_fields.h"

#include <string.h>

void event_fields_begin(event_fields_t *self, size_t count)
{
    msgpack_sbuffer_init(&self->buffer);
    msgpack_packer_init(&self->packer, &self->buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&self->packer, count);
}

void event_fields_end(event_fields_t *self)
{
    msgpack_sbuffer_destroy(&self->buffer);
}

void event_fields_name(event_fields_t *self, const char *name)
{
    msgpack_pack_str_with_body(&self->packer, name, strlen(name));
}

void event_fields_text(event_fields_t *self, const char *name, const char *value)
{
    event_fields_name(self, name);
    event_fields_name(self, value ? value : "");
}

void event_fields_number(event_fields_t *self, const char *name, uint64_t value)
{
    event_fields_name(self, name);
    msgpack_pack_uint64(&self->packer, value);
}

msg_bytes_t event_fields_bytes(const event_fields_t *self)
{
    return (msg_bytes_t){.data = (const uint8_t *)self->buffer.data, .size = self->buffer.size};
}
