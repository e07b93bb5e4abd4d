/* Messages of every kind for the tests of the message layer. */
#include "tests/unit/message_fixture.h"

#include "common/util.h"

#include <assert.h>
#include <string.h>

#define GREATEST_FILL 4096 /* limits above this are not filled up: it would only take time */

static void *take(msgpack_zone *zone, size_t size)
{
    void *memory = msgpack_zone_malloc(zone, size);
    assert(memory);
    return memset(memory, 0, size);
}

static const char *text_of(size_t size, msgpack_zone *zone)
{
    char *text = take(zone, size + 1);
    memset(text, 'a', size);
    return text;
}

static size_t size_for(const msg_field_t *field, bool limits, size_t usual)
{
    return limits && field->limit && field->limit <= GREATEST_FILL ? field->limit : usual;
}

static void fill_group(const msg_field_t *field, bool limits, msgpack_zone *zone,
                       msg_group_t *group)
{
    size_t size = msg_type(field->record)->size;
    group->count = size_for(field, limits, 2);
    group->items = take(zone, group->count * size);
    for (size_t i = 0; i < group->count; i++)
        memcpy((char *)group->items + i * size, message_filled(field->record, false, zone), size);
}

static void fill_labels(const msg_field_t *field, bool limits, msgpack_zone *zone,
                        msg_labels_t *labels)
{
    labels->count = size_for(field, limits, 2);
    labels->items = take(zone, labels->count * sizeof *labels->items);
    for (size_t i = 0; i < labels->count; i++)
        labels->items[i] = (msg_label_t){.key = text_of(i % 90 + 1, zone), .value = "v"};
}

static void fill_texts(const msg_field_t *field, bool limits, msgpack_zone *zone,
                       msg_texts_t *texts)
{
    texts->count = size_for(field, limits, 3);
    texts->items = take(zone, texts->count * sizeof *texts->items);
    for (size_t i = 0; i < texts->count; i++)
        texts->items[i] = text_of(i, zone);
}

static void fill_number(const msg_field_t *field, bool limits, void *at)
{
    uint64_t number = limits && field->limit ? field->limit : 1;
    if (field->kind == KIND_i64)
        *(int64_t *)at = limits ? INT64_MIN : -1;
    else if (field->kind == KIND_u32)
        *(uint32_t *)at = limits && !field->limit ? UINT32_MAX : (uint32_t)number;
    else
        *(uint64_t *)at = limits && !field->limit ? UINT64_MAX : number;
}

static void fill_bytes(const msg_field_t *field, bool limits, msgpack_zone *zone,
                       msg_bytes_t *bytes)
{
    if (field->kind == KIND_value) {
        *bytes = (msg_bytes_t){(const uint8_t *)"\x93\x01\xa1x\x81\xa1y\xc3", 8};
        return;
    }
    bytes->size = size_for(field, limits, 7);
    bytes->data = (const uint8_t *)text_of(bytes->size, zone);
}

static void fill_field(const msg_field_t *field, bool limits, msgpack_zone *zone, void *at)
{
    switch (field->kind) {
    case KIND_ident:
        *(const char **)at = text_of(size_for(field, limits, 5), zone);
        break;
    case KIND_text:
        *(const char **)at =
            limits ? text_of(size_for(field, limits, 5), zone) : "z\u00fc\u20ac\U0001f600";
        break;
    case KIND_bytes:
    case KIND_value:
        fill_bytes(field, limits, zone, at);
        break;
    case KIND_flag:
        *(bool *)at = true;
        break;
    case KIND_i64:
    case KIND_u32:
    case KIND_u64:
        fill_number(field, limits, at);
        break;
    case KIND_texts:
        fill_texts(field, limits, zone, at);
        break;
    case KIND_labels:
        fill_labels(field, limits, zone, at);
        break;
    case KIND_uuid:
        memset(at, 0x5a, MSG_UUID_SIZE);
        break;
    case KIND_one:
        *(void **)at = message_filled(field->record, limits, zone);
        break;
    case KIND_group:
        fill_group(field, limits, zone, at);
        break;
    }
}

void *message_filled(msg_id_t id, bool limits, msgpack_zone *zone)
{
    const msg_type_t *type = msg_type(id);
    char *value = take(zone, type->size);
    for (size_t i = 0; i < type->field_count; i++)
        fill_field(&type->fields[i], limits, zone, value + type->fields[i].offset);
    return value;
}

static bool is_key(const msgpack_object *key, const char *name)
{
    return name && key->via.str.size == strlen(name) &&
           !memcmp(key->via.str.ptr, name, strlen(name));
}

/* Unknown entries: a deep value under a text key, and keys that are no text at all. */
static void pack_unknown(msgpack_packer *packer)
{
    msgpack_pack_str_with_body(packer, "surely-unknown", 14);
    msgpack_pack_array(packer, 1);
    msgpack_pack_map(packer, 1);
    msgpack_pack_nil(packer);
    msgpack_pack_double(packer, 0.5);
    msgpack_pack_int(packer, -7);
    msgpack_pack_ext_with_body(packer, "x", 1, 5);
}

void message_encoded(msg_id_t id, const void *value, const message_change_t *change,
                     msgpack_sbuffer *out)
{
    msgpack_sbuffer plain;
    msgpack_sbuffer_init(&plain);
    msg_encode(id, value, &plain);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return got = msgpack_unpack_next(&unpacked, plain.data, plain.size, NULL);
    assert(got == MSGPACK_UNPACK_SUCCESS);
    const msgpack_object_map *map = &unpacked.data.via.map;
    message_change_t none = {0};
    change = change ? change : &none;

    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    size_t dropped = change->key && !change->value;
    msgpack_pack_map(&packer, map->size - dropped + (change->add_unknown ? 4 : 0));
    if (change->add_unknown)
        pack_unknown(&packer);
    for (uint32_t i = 0; i < map->size; i++) {
        bool changed = is_key(&map->ptr[i].key, change->key);
        if (changed && !change->value)
            continue;
        msgpack_pack_object(&packer, map->ptr[i].key);
        if (changed)
            msgpack_sbuffer_write(out, change->value, change->value_size);
        else
            msgpack_pack_object(&packer, map->ptr[i].val);
    }
    if (change->add_unknown)
        pack_unknown(&packer);
    msgpack_unpacked_destroy(&unpacked);
    msgpack_sbuffer_destroy(&plain);
}

void *message_decoded(msg_id_t id, const msgpack_sbuffer *data, msgpack_zone *zone, status_t *st)
{
    void *value = take(zone, msg_type(id)->size);
    /* An exact copy, so that a sanitizer sees a read past the end. */
    AUTO_FREE char *copy = malloc(data->size ? data->size : 1);
    assert(copy);
    if (data->size)
        memcpy(copy, data->data, data->size);
    return msg_decode(id, copy, data->size, zone, value, st) ? NULL : value;
}

const char *message_name(msg_id_t id)
{
    return msg_type(id)->name ? msg_type(id)->name : msg_type(id)->c_name;
}
