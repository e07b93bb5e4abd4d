/* The table of records and methods, made from messages.def. */
#include "common/message.h"
#include "common/util.h"

#include <string.h>

#define OPTIONAL false
#define REQUIRED true

/* FIELD cannot know its struct, so each message opens a function with a typedef for it. */
#define OPEN(id)                                                                                   \
    static const msg_field_t *fields_of_##id(size_t *count)                                        \
    {                                                                                              \
        typedef msg_##id##_t self_t;                                                               \
        static const msg_field_t fields[] = {
#define FIELD(kind, name, need, limit, meaning)                                                    \
    {#name, sizeof #name - 1, KIND_##kind, MSG_COUNT, need, offsetof(self_t, name), limit, meaning},
#define ONE(record, name, need, limit, meaning)                                                    \
    {#name, sizeof #name - 1, KIND_one, MSG_##record, need, offsetof(self_t, name), limit, meaning},
#define GROUP(record, name, need, limit, meaning)                                                  \
    {#name, sizeof #name - 1,       KIND_group, MSG_##record,                                      \
     need,  offsetof(self_t, name), limit,      meaning},
#define CLOSE                                                                                      \
    {NULL, 0, KIND_flag, MSG_COUNT, false, offsetof(self_t, unused_), 0, NULL},                    \
    }                                                                                              \
    ;                                                                                              \
    *count = ARRAY_SIZE(fields) - 1;                                                               \
    return fields;                                                                                 \
    }
#define RECORD(id, ...) OPEN(id)
#define METHOD(id, ...) OPEN(id)
#define RECORD_END(id)  CLOSE
#define METHOD_END(id)  CLOSE
#include "common/messages_expand.h"

static msg_type_t table[MSG_COUNT] = {
#define RECORD(id, meaning_)                                                                       \
    [MSG_##id] = {                                                                                 \
        .c_name = #id, .meaning = meaning_, .answer = MSG_COUNT, .size = sizeof(msg_##id##_t)},
#define METHOD(id, wire, service_, redelivery_, class_, seconds_, answer_, meaning_)               \
    [MSG_##id] = {.c_name = #id,                                                                   \
                  .name = wire,                                                                    \
                  .service = SERVICE_##service_,                                                   \
                  .redelivery = REDELIVERY_##redelivery_,                                          \
                  .class = CLASS_##class_,                                                         \
                  .seconds = seconds_,                                                             \
                  .answer = MSG_##answer_,                                                         \
                  .meaning = meaning_,                                                             \
                  .size = sizeof(msg_##id##_t)},
#include "common/messages_expand.h"
};

/* Fields cannot be named in a constant initializer, so they are attached before main. */
__attribute__((constructor)) static void attach_fields(void)
{
#define RECORD(id, ...) table[MSG_##id].fields = fields_of_##id(&table[MSG_##id].field_count);
#define METHOD(id, ...) table[MSG_##id].fields = fields_of_##id(&table[MSG_##id].field_count);
#include "common/messages_expand.h"
}

const msg_type_t *msg_type(msg_id_t id)
{
    assert(id < MSG_COUNT);
    return &table[id];
}

const char *msg_text(msg_id_t id, const void *value, const char *name)
{
    const msg_type_t *type = msg_type(id);
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        if ((field->kind == KIND_ident || field->kind == KIND_text) && !strcmp(field->name, name))
            return *(const char *const *)((const char *)value + field->offset);
    }
    return NULL;
}

msg_id_t msg_find(const char *name)
{
    for (msg_id_t id = 0; id < MSG_COUNT; id++)
        if (table[id].name && !strcmp(table[id].name, name))
            return id;
    return MSG_COUNT;
}

const char *msg_service_name(msg_service_t service)
{
    static const char *const names[] = {"none",   "link", "broker",  "cluster",
                                        "bundle", "shim", "metadata"};
    return names[service];
}

const char *msg_redelivery_name(msg_redelivery_t redelivery)
{
    static const char *const names[] = {"SAFE", "GUARDED", "NEVER"};
    return names[redelivery];
}

const char *msg_class_name(msg_class_t class)
{
    static const char *const names[] = {"READ", "WRITE", "URGENT", "INTERNAL"};
    return names[class];
}
