/* The records and methods of messages.def as C structs and as a table, with the one encoder and the
 * one decoder that serve all of them. On the wire each is a msgpack map with string keys. */
#ifndef SHIMD_MESSAGE_H
#define SHIMD_MESSAGE_H

#include "common/status.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers of the records and methods: MSG_task_create. */
typedef enum msg_id {
#define RECORD(id, ...) MSG_##id,
#define METHOD(id, ...) MSG_##id,
#include "common/messages_expand.h"
    MSG_COUNT
} msg_id_t;

/* Field values as handlers see them. A decoded message and all it points to live in the zone that
 * was given to msg_decode; a message to be encoded borrows what it points to. */
typedef struct msg_bytes {
    const uint8_t *data; /* NULL when absent */
    size_t size;
} msg_bytes_t;

typedef struct msg_texts {
    const char **items;
    size_t count;
} msg_texts_t;

typedef struct msg_label {
    const char *key, *value;
} msg_label_t;

typedef struct msg_labels {
    msg_label_t *items;
    size_t count;
} msg_labels_t;

#define MSG_UUID_SIZE 16
typedef struct msg_uuid {
    uint8_t bytes[MSG_UUID_SIZE]; /* all zero when absent */
} msg_uuid_t;

/* Layout shared by every GROUP field. */
typedef struct msg_group {
    void *items;
    size_t count;
} msg_group_t;

/* C types of the kinds. */
typedef const char *msg_kind_ident_t;
typedef const char *msg_kind_text_t;
typedef msg_bytes_t msg_kind_bytes_t;
typedef msg_bytes_t msg_kind_value_t;
typedef bool msg_kind_flag_t;
typedef int64_t msg_kind_i64_t;
typedef uint32_t msg_kind_u32_t;
typedef uint64_t msg_kind_u64_t;
typedef msg_texts_t msg_kind_texts_t;
typedef msg_labels_t msg_kind_labels_t;
typedef msg_uuid_t msg_kind_uuid_t;

/* The structs: msg_task_create_t has a member for each FIELD. Every struct begins with a byte that
 * gives empty records a size C allows. */
#define RECORD(id, ...) typedef struct msg_##id msg_##id##_t;
#define METHOD(id, ...) typedef struct msg_##id msg_##id##_t;
#include "common/messages_expand.h"

#define RECORD(id, ...)                                                                            \
    struct msg_##id {                                                                              \
        char unused_;
#define METHOD(id, ...)                                                                            \
    struct msg_##id {                                                                              \
        char unused_;
#define FIELD(kind, name, ...) msg_kind_##kind##_t name;
#define ONE(record, name, ...) const msg_##record##_t *name;
#define GROUP(record, name, ...)                                                                   \
    struct {                                                                                       \
        msg_##record##_t *items;                                                                   \
        size_t count;                                                                              \
    } name;
#define RECORD_END(id)                                                                             \
    }                                                                                              \
    ;
#define METHOD_END(id)                                                                             \
    }                                                                                              \
    ;
#include "common/messages_expand.h"

typedef enum msg_kind {
    KIND_ident,
    KIND_text,
    KIND_bytes,
    KIND_value,
    KIND_flag,
    KIND_i64,
    KIND_u32,
    KIND_u64,
    KIND_texts,
    KIND_labels,
    KIND_uuid,
    KIND_one,   /* another record */
    KIND_group, /* an array of records */
} msg_kind_t;

typedef struct msg_field {
    const char *name;
    size_t name_size; /* without NUL */
    msg_kind_t kind;
    msg_id_t record; /* for KIND_one and KIND_group */
    bool required;
    size_t offset;
    uint64_t limit;
    const char *meaning;
} msg_field_t;

typedef enum msg_service {
    SERVICE_NONE, /* a record, not a method */
    SERVICE_LINK,
    SERVICE_BROKER,
    SERVICE_CLUSTER,
    SERVICE_BUNDLE,
    SERVICE_SHIM,
    SERVICE_METADATA,
} msg_service_t;

typedef enum msg_redelivery {
    REDELIVERY_SAFE,
    REDELIVERY_GUARDED,
    REDELIVERY_NEVER
} msg_redelivery_t;
typedef enum msg_class { CLASS_READ, CLASS_WRITE, CLASS_URGENT, CLASS_INTERNAL } msg_class_t;

typedef struct msg_type {
    const char *c_name; /* "task_create" */
    const char *name;   /* "task.create"; NULL for a record */
    msg_service_t service;
    msg_redelivery_t redelivery;
    msg_class_t class;
    unsigned seconds;
    msg_id_t answer;
    const char *meaning;
    size_t size;
    const msg_field_t *fields;
    size_t field_count;
} msg_type_t;

/* Limits of any body, whatever its method. */
#define MSG_BODY_MAX   (5u << 20) /* bytes */
#define MSG_HEADER_MAX 4096u      /* bytes */
#define MSG_DEPTH_MAX  24         /* msgpack containers inside each other */

/* The row of a message; never NULL for a valid number. */
const msg_type_t *msg_type(msg_id_t id);

/* The text of the field with that name, or NULL when the message has none or it is absent. */
const char *msg_text(msg_id_t id, const void *value, const char *name);

/* The method with that wire name, or MSG_COUNT. */
msg_id_t msg_find(const char *name);

/* "METADATA" and so on, as messages.def writes them; `msg_service_name` in lower case. */
const char *msg_service_name(msg_service_t service);
const char *msg_redelivery_name(msg_redelivery_t redelivery);
const char *msg_class_name(msg_class_t class);

/* Appends the encoded message to `out`. Absent optional fields are left out, required ones are
 * always there. `value` is the struct of `id`. Aborts only when memory is short. */
void msg_encode(msg_id_t id, const void *value, msgpack_sbuffer *out);

/* Reads a message into `ret`, the struct of `id`, with what it points to in `zone`. Unknown keys
 * are ignored. INVALID_ARGUMENT names the message, the field and the limit; `ret` is then
 * undefined. The input may be anything at all, and need not outlive the call. */
status_code_t msg_decode(msg_id_t id, const void *data, size_t size, msgpack_zone *zone, void *ret,
                         status_t *st);

/* Checks that `data` is one complete msgpack value no deeper than MSG_DEPTH_MAX, whose announced
 * lengths the input really has, so that unpacking it cannot allocate more than the input's size
 * times a small constant. */
status_code_t msg_scan(const void *data, size_t size, status_t *st);

/* True for containerd's identifier pattern, 1 to 76 bytes (containerd pkg/identifiers). */
bool msg_is_identifier(const char *text, size_t size);

bool msg_uuid_is_set(const msg_uuid_t *uuid);
void msg_uuid_new(msg_uuid_t *uuid); /* random */

#endif
