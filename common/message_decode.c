/* Reads any record or method from a msgpack map by walking its row of the table. */
#include "common/message.h"

#include "common/utf8.h"
#include "common/util.h"

#include <inttypes.h>
#include <string.h>

#define IDENTIFIER_MAX 76   /* bytes; containerd pkg/identifiers */
#define LABEL_MAX      4096 /* bytes of key and value together; containerd pkg/labels */

/* Where an inner record stands, for error texts. */
typedef struct place {
    const struct place *outer; /* NULL in the outermost record */
    const char *field;
    int64_t index; /* in the field's array; -1 when it is none */
} place_t;

typedef struct decoder {
    msgpack_zone *zone;
    status_t *st;
    msg_id_t message;     /* the outermost, which error texts name */
    const place_t *place; /* of the record that is read; NULL for the outermost */
} decoder_t;

static status_code_t decode_map(decoder_t *self, msg_id_t id, const msgpack_object *object,
                                void *ret);

/* "rootfs[3].", or nothing for the outermost record. The caller frees. */
static char *place_text(const place_t *place)
{
    if (!place)
        return util_strdup("");
    AUTO_FREE char *outer = place_text(place->outer);
    return place->index < 0 ? util_format("%s%s.", outer, place->field)
                            : util_format("%s%s[%" PRId64 "].", outer, place->field, place->index);
}

static status_code_t refuse(decoder_t *self, const msg_field_t *field, const char *what)
{
    const msg_type_t *type = msg_type(self->message);
    AUTO_FREE char *place = place_text(self->place);
    return status_set(self->st, STATUS_INVALID_ARGUMENT, "%s: %s%s %s",
                      type->name ? type->name : type->c_name, place, field->name, what);
}

static status_code_t refuse_size(decoder_t *self, const msg_field_t *field, uint64_t size,
                                 uint64_t limit, const char *unit)
{
    char what[96];
    snprintf(what, sizeof what, "is %" PRIu64 "%s, limit %" PRIu64, size, unit, limit);
    return refuse(self, field, what);
}

static void *zone_take(decoder_t *self, size_t size)
{
    void *memory = msgpack_zone_malloc(self->zone, size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

static bool is_text(const char *text, size_t size)
{
    return utf8_is_valid(text, size) && !memchr(text, '\0', size);
}

/* Of the characters in identifiers, 0 for any other. */
enum { ALPHANUMERIC = 1, SEPARATOR };
static const uint8_t classes[UINT8_MAX + 1] = {['0' ... '9'] = ALPHANUMERIC,
                                               ['A' ... 'Z'] = ALPHANUMERIC,
                                               ['a' ... 'z'] = ALPHANUMERIC,
                                               ['.'] = SEPARATOR,
                                               ['_'] = SEPARATOR,
                                               ['-'] = SEPARATOR};

bool msg_is_identifier(const char *text, size_t size)
{
    if (size == 0 || size > IDENTIFIER_MAX)
        return false;
    uint8_t before = SEPARATOR;
    for (size_t i = 0; i < size; i++) {
        uint8_t class = classes[(uint8_t)text[i]];
        if (!class || (class == SEPARATOR && before == SEPARATOR))
            return false;
        before = class;
    }
    return before == ALPHANUMERIC;
}

static const char *copy_text(decoder_t *self, const msgpack_object_str *str)
{
    char *text = zone_take(self, (size_t)str->size + 1);
    if (str->size)
        memcpy(text, str->ptr, str->size);
    text[str->size] = '\0';
    return text;
}

static status_code_t decode_text(decoder_t *self, const msg_field_t *field,
                                 const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_STR)
        return refuse(self, field, "is not a string");
    const msgpack_object_str *str = &object->via.str;
    if (field->limit && str->size > field->limit)
        return refuse_size(self, field, str->size, field->limit, " bytes long");
    if (!is_text(str->ptr, str->size))
        return refuse(self, field, "is not UTF-8 text without NUL");
    if (field->kind == KIND_ident && !msg_is_identifier(str->ptr, str->size))
        return refuse(
            self, field,
            "is not an identifier: 1-76 letters and digits with single . _ - between them");
    if (field->kind == KIND_text && field->required && str->size == 0)
        return refuse(self, field, "is empty");
    *(const char **)ret = copy_text(self, str);
    return STATUS_OK;
}

static status_code_t decode_bytes(decoder_t *self, const msg_field_t *field,
                                  const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_BIN)
        return refuse(self, field, "is not binary");
    const msgpack_object_bin *bin = &object->via.bin;
    if (field->limit && bin->size > field->limit)
        return refuse_size(self, field, bin->size, field->limit, " bytes long");
    uint8_t *data = zone_take(self, bin->size);
    if (bin->size)
        memcpy(data, bin->ptr, bin->size);
    *(msg_bytes_t *)ret = (msg_bytes_t){.data = data, .size = bin->size};
    return STATUS_OK;
}

static status_code_t decode_uuid(decoder_t *self, const msg_field_t *field,
                                 const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_BIN || object->via.bin.size != MSG_UUID_SIZE)
        return refuse(self, field, "is not 16 bytes of binary");
    memcpy(ret, object->via.bin.ptr, MSG_UUID_SIZE);
    if (!msg_uuid_is_set(ret))
        return refuse(self, field, "is all zero");
    return STATUS_OK;
}

/* A value stays msgpack: it is packed again, so that handlers can pass it on or store it. */
static status_code_t decode_value(decoder_t *self, const msg_field_t *field,
                                  const msgpack_object *object, void *ret)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_object(&packer, *object);
    if (field->limit && buffer.size > field->limit) {
        size_t size = buffer.size;
        msgpack_sbuffer_destroy(&buffer);
        return refuse_size(self, field, size, field->limit, " bytes long");
    }
    uint8_t *data = zone_take(self, buffer.size);
    memcpy(data, buffer.data, buffer.size);
    *(msg_bytes_t *)ret = (msg_bytes_t){.data = data, .size = buffer.size};
    msgpack_sbuffer_destroy(&buffer);
    return STATUS_OK;
}

static status_code_t decode_unsigned(decoder_t *self, const msg_field_t *field,
                                     const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return refuse(self, field, "is not a whole number of 0 or more");
    uint64_t limit = field->limit              ? field->limit
                     : field->kind == KIND_u32 ? UINT32_MAX
                                               : UINT64_MAX;
    if (object->via.u64 > limit)
        return refuse_size(self, field, object->via.u64, limit, "");
    if (field->kind == KIND_u32)
        *(uint32_t *)ret = (uint32_t)object->via.u64;
    else
        *(uint64_t *)ret = object->via.u64;
    return STATUS_OK;
}

static status_code_t decode_signed(decoder_t *self, const msg_field_t *field,
                                   const msgpack_object *object, void *ret)
{
    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX)
        *(int64_t *)ret = (int64_t)object->via.u64;
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *(int64_t *)ret = object->via.i64;
    else
        return refuse(self, field, "is not a whole number of 64 bits");
    return STATUS_OK;
}

static status_code_t decode_texts(decoder_t *self, const msg_field_t *field,
                                  const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_ARRAY)
        return refuse(self, field, "is not an array");
    const msgpack_object_array *array = &object->via.array;
    if (field->limit && array->size > field->limit)
        return refuse_size(self, field, array->size, field->limit, " elements long");
    const char **items = zone_take(self, array->size * sizeof *items);
    for (uint32_t i = 0; i < array->size; i++) {
        if (array->ptr[i].type != MSGPACK_OBJECT_STR)
            return refuse(self, field, "has an element that is not a string");
        if (!is_text(array->ptr[i].via.str.ptr, array->ptr[i].via.str.size))
            return refuse(self, field, "has an element that is not UTF-8 text without NUL");
        items[i] = copy_text(self, &array->ptr[i].via.str);
    }
    *(msg_texts_t *)ret = (msg_texts_t){.items = items, .count = array->size};
    return STATUS_OK;
}

static status_code_t decode_labels(decoder_t *self, const msg_field_t *field,
                                   const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_MAP)
        return refuse(self, field, "is not a map");
    const msgpack_object_map *map = &object->via.map;
    if (field->limit && map->size > field->limit)
        return refuse_size(self, field, map->size, field->limit, " entries long");
    msg_label_t *items = zone_take(self, map->size * sizeof *items);
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key, *value = &map->ptr[i].val;
        if (key->type != MSGPACK_OBJECT_STR || value->type != MSGPACK_OBJECT_STR)
            return refuse(self, field, "has a key or value that is not a string");
        if (key->via.str.size == 0)
            return refuse(self, field, "has an empty key");
        uint64_t size = (uint64_t)key->via.str.size + value->via.str.size;
        if (size > LABEL_MAX)
            return refuse_size(self, field, size, LABEL_MAX, " bytes of key and value");
        if (!is_text(key->via.str.ptr, key->via.str.size) ||
            !is_text(value->via.str.ptr, value->via.str.size))
            return refuse(self, field, "has a key or value that is not UTF-8 text without NUL");
        items[i].key = copy_text(self, &key->via.str);
        items[i].value = copy_text(self, &value->via.str);
    }
    *(msg_labels_t *)ret = (msg_labels_t){.items = items, .count = map->size};
    return STATUS_OK;
}

static status_code_t decode_inner(decoder_t *self, const msg_field_t *field, int64_t index,
                                  const msgpack_object *object, void *ret)
{
    const place_t place = {.outer = self->place, .field = field->name, .index = index};
    self->place = &place;
    status_code_t code = decode_map(self, field->record, object, ret);
    self->place = place.outer;
    return code;
}

static status_code_t decode_one(decoder_t *self, const msg_field_t *field,
                                const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_MAP)
        return refuse(self, field, "is not a map");
    void *record = zone_take(self, msg_type(field->record)->size);
    *(void **)ret = record;
    return decode_inner(self, field, -1, object, record);
}

static status_code_t decode_group(decoder_t *self, const msg_field_t *field,
                                  const msgpack_object *object, void *ret)
{
    if (object->type != MSGPACK_OBJECT_ARRAY)
        return refuse(self, field, "is not an array");
    const msgpack_object_array *array = &object->via.array;
    if (field->limit && array->size > field->limit)
        return refuse_size(self, field, array->size, field->limit, " elements long");
    size_t stride = msg_type(field->record)->size;
    char *items = zone_take(self, array->size * stride);
    for (uint32_t i = 0; i < array->size; i++) {
        if (array->ptr[i].type != MSGPACK_OBJECT_MAP)
            return refuse(self, field, "has an element that is not a map");
        if (decode_inner(self, field, i, &array->ptr[i], items + i * stride))
            return self->st->code;
    }
    *(msg_group_t *)ret = (msg_group_t){.items = items, .count = array->size};
    return STATUS_OK;
}

static status_code_t decode_field(decoder_t *self, const msg_field_t *field,
                                  const msgpack_object *object, void *ret)
{
    switch (field->kind) {
    case KIND_ident:
    case KIND_text:
        return decode_text(self, field, object, ret);
    case KIND_bytes:
        return decode_bytes(self, field, object, ret);
    case KIND_value:
        return decode_value(self, field, object, ret);
    case KIND_flag:
        if (object->type != MSGPACK_OBJECT_BOOLEAN)
            return refuse(self, field, "is not a boolean");
        *(bool *)ret = object->via.boolean;
        return STATUS_OK;
    case KIND_i64:
        return decode_signed(self, field, object, ret);
    case KIND_u32:
    case KIND_u64:
        return decode_unsigned(self, field, object, ret);
    case KIND_texts:
        return decode_texts(self, field, object, ret);
    case KIND_labels:
        return decode_labels(self, field, object, ret);
    case KIND_uuid:
        return decode_uuid(self, field, object, ret);
    case KIND_one:
        return decode_one(self, field, object, ret);
    case KIND_group:
        return decode_group(self, field, object, ret);
    }
    return STATUS_OK;
}

/* Fields mostly come in the table's order, so the search begins behind the last one found. */
static const msg_field_t *find_field(const msg_type_t *type, const msgpack_object *key,
                                     const msg_field_t *last)
{
    if (key->type != MSGPACK_OBJECT_STR)
        return NULL;
    size_t size = key->via.str.size, next = last ? (size_t)(last - type->fields) + 1 : 0;
    for (size_t i = 0; i < type->field_count; i++, next++) {
        if (next >= type->field_count)
            next = 0;
        const msg_field_t *field = &type->fields[next];
        if (field->name_size == size && !memcmp(field->name, key->via.str.ptr, size))
            return field;
    }
    return NULL;
}

static status_code_t decode_map(decoder_t *self, msg_id_t id, const msgpack_object *object,
                                void *ret)
{
    const msg_type_t *type = msg_type(id);
    const msg_field_t *last = NULL;
    uint64_t seen = 0;
    memset(ret, 0, type->size);
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *entry = &object->via.map.ptr[i];
        const msg_field_t *field = find_field(type, &entry->key, last);
        last = field ? field : last;
        if (!field || entry->val.type == MSGPACK_OBJECT_NIL)
            continue;
        if (decode_field(self, field, &entry->val, (char *)ret + field->offset))
            return self->st->code;
        seen |= (uint64_t)1 << (field - type->fields);
    }
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].required && !(seen >> i & 1))
            return refuse(self, &type->fields[i], "is missing");
    return STATUS_OK;
}

status_code_t msg_decode(msg_id_t id, const void *data, size_t size, msgpack_zone *zone, void *ret,
                         status_t *st)
{
    const msg_type_t *type = msg_type(id);
    const char *name = type->name ? type->name : type->c_name;
    if (msg_scan(data, size, st))
        return status_wrap(st, "%s", name);

    msgpack_object object;
    size_t offset = 0;
    if (msgpack_unpack(data, size, &offset, zone, &object) < 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: not msgpack", name);
    if (object.type != MSGPACK_OBJECT_MAP)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: not a map", name);
    decoder_t decoder = {.zone = zone, .st = st, .message = id};
    return decode_map(&decoder, id, &object, ret);
}
