/* Writes any record or method as a msgpack map by walking its row of the table. */
#include "common/message.h"

#include <string.h>
#include <uuid/uuid.h>

#define FIXSTR_MAX 31 /* bytes of a text whose length stands in its first byte */

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

/* A required text that is NULL would be a bug of the sender; it goes out empty and is refused
 * there. */
static void pack_text_or_empty(msgpack_packer *packer, const char *text)
{
    pack_text(packer, text ? text : "");
}

static bool is_absent(const msg_field_t *field, const void *at)
{
    switch (field->kind) {
    case KIND_ident:
    case KIND_text:
        return !*(const char *const *)at;
    case KIND_bytes:
    case KIND_value:
        return !((const msg_bytes_t *)at)->data;
    case KIND_flag:
        return !*(const bool *)at;
    case KIND_i64:
    case KIND_u64:
        return !*(const uint64_t *)at;
    case KIND_u32:
        return !*(const uint32_t *)at;
    case KIND_texts:
        return !((const msg_texts_t *)at)->count;
    case KIND_labels:
        return !((const msg_labels_t *)at)->count;
    case KIND_uuid:
        return !msg_uuid_is_set(at);
    case KIND_one:
        return !*(const void *const *)at;
    case KIND_group:
        return !((const msg_group_t *)at)->count;
    }
    return true;
}

static void pack_message(msgpack_packer *packer, msg_id_t id, const void *value);

static void pack_texts(msgpack_packer *packer, const msg_texts_t *texts)
{
    msgpack_pack_array(packer, texts->count);
    for (size_t i = 0; i < texts->count; i++)
        pack_text_or_empty(packer, texts->items[i]);
}

static void pack_labels(msgpack_packer *packer, const msg_labels_t *labels)
{
    msgpack_pack_map(packer, labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        pack_text_or_empty(packer, labels->items[i].key);
        pack_text_or_empty(packer, labels->items[i].value);
    }
}

static void pack_group(msgpack_packer *packer, msg_id_t record, const msg_group_t *group)
{
    msgpack_pack_array(packer, group->count);
    for (size_t i = 0; i < group->count; i++)
        pack_message(packer, record, (const char *)group->items + i * msg_type(record)->size);
}

static void pack_bytes(msgpack_packer *packer, const msg_bytes_t *bytes)
{
    msgpack_pack_bin(packer, bytes->size);
    if (bytes->size)
        msgpack_pack_bin_body(packer, bytes->data, bytes->size);
}

/* A value is msgpack already; an absent required one becomes nil. */
static void pack_value(msgpack_packer *packer, const msg_bytes_t *value)
{
    if (value->data)
        packer->callback(packer->data, (const char *)value->data, value->size);
    else
        msgpack_pack_nil(packer);
}

static void pack_field(msgpack_packer *packer, const msg_field_t *field, const void *at)
{
    switch (field->kind) {
    case KIND_ident:
    case KIND_text:
        pack_text_or_empty(packer, *(const char *const *)at);
        break;
    case KIND_bytes:
        pack_bytes(packer, at);
        break;
    case KIND_value:
        pack_value(packer, at);
        break;
    case KIND_flag:
        if (*(const bool *)at)
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        break;
    case KIND_i64:
        msgpack_pack_int64(packer, *(const int64_t *)at);
        break;
    case KIND_u32:
        msgpack_pack_uint32(packer, *(const uint32_t *)at);
        break;
    case KIND_u64:
        msgpack_pack_uint64(packer, *(const uint64_t *)at);
        break;
    case KIND_texts:
        pack_texts(packer, at);
        break;
    case KIND_labels:
        pack_labels(packer, at);
        break;
    case KIND_uuid:
        msgpack_pack_bin(packer, MSG_UUID_SIZE);
        msgpack_pack_bin_body(packer, at, MSG_UUID_SIZE);
        break;
    case KIND_one:
        pack_message(packer, field->record, *(const void *const *)at);
        break;
    case KIND_group:
        pack_group(packer, field->record, at);
        break;
    }
}

/* In one piece: messages consist of names for the most part. */
static void pack_name(msgpack_packer *packer, const msg_field_t *field)
{
    char text[1 + FIXSTR_MAX];
    if (field->name_size > FIXSTR_MAX) {
        msgpack_pack_str_with_body(packer, field->name, field->name_size);
        return;
    }
    text[0] = (char)(0xa0 | field->name_size); /* msgpack's fixstr */
    memcpy(text + 1, field->name, field->name_size);
    packer->callback(packer->data, text, 1 + field->name_size);
}

static void pack_message(msgpack_packer *packer, msg_id_t id, const void *value)
{
    const msg_type_t *type = msg_type(id);
    size_t present = 0;
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        if (field->required || !is_absent(field, (const char *)value + field->offset))
            present++;
    }
    msgpack_pack_map(packer, present);
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        const void *at = (const char *)value + field->offset;
        if (!field->required && is_absent(field, at))
            continue;
        pack_name(packer, field);
        pack_field(packer, field, at);
    }
}

void msg_encode(msg_id_t id, const void *value, msgpack_sbuffer *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    pack_message(&packer, id, value);
}

bool msg_uuid_is_set(const msg_uuid_t *uuid)
{
    static const msg_uuid_t none;
    return memcmp(uuid, &none, sizeof none) != 0;
}

void msg_uuid_new(msg_uuid_t *uuid)
{
    uuid_generate_random(uuid->bytes);
}
