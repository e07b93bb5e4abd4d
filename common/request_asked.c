/* What a request asked for, in few words. */
#include "common/request_asked.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *take(msgpack_zone *zone, size_t size)
{
    void *made = msgpack_zone_malloc(zone, size);
    if (!made)
        abort();
    return made;
}

static bool is_address(const msg_field_t *field)
{
    return !strcmp(field->name, "id") || !strcmp(field->name, "exec_id");
}

/* False when it is absent, or nothing for a line of text. */
static bool print(const msg_field_t *field, const void *at, char text[REQUEST_ASKED_TEXT_MAX + 1])
{
    size_t room = REQUEST_ASKED_TEXT_MAX + 1;
    text[0] = '\0';
    switch (field->kind) {
    case KIND_ident:
    case KIND_text: {
        const char *value = *(const char *const *)at;
        if (value && strlen(value) < room)
            snprintf(text, room, "%s", value);
        break;
    }
    case KIND_flag:
        snprintf(text, room, "%s", *(const bool *)at ? "true" : "");
        break;
    case KIND_i64:
        if (*(const int64_t *)at || field->required)
            snprintf(text, room, "%" PRId64, *(const int64_t *)at);
        break;
    case KIND_u32:
        if (*(const uint32_t *)at || field->required)
            snprintf(text, room, "%" PRIu32, *(const uint32_t *)at);
        break;
    case KIND_u64:
        if (*(const uint64_t *)at || field->required)
            snprintf(text, room, "%" PRIu64, *(const uint64_t *)at);
        break;
    default:
        break; /* bytes, arrays, what is inside */
    }
    return text[0];
}

msg_labels_t request_asked(msg_id_t id, const void *ask, msgpack_zone *zone)
{
    const msg_type_t *type = msg_type(id);
    msg_labels_t ret = {.items = take(zone, (type->field_count + 1) * sizeof *ret.items)};
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        char text[REQUEST_ASKED_TEXT_MAX + 1];
        if (is_address(field) || !print(field, (const char *)ask + field->offset, text))
            continue;
        size_t size = strlen(text) + 1;
        ret.items[ret.count++] =
            (msg_label_t){.key = field->name, .value = memcpy(take(zone, size), text, size)};
    }
    return ret;
}
