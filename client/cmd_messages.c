/* shimctl messages: the wire's methods and records, from the table that this program speaks by. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING 2

static const char *name_of(const msg_type_t *type)
{
    return type->name ? type->name : type->c_name;
}

static const char *kind_name(const msg_field_t *field)
{
    static const char *const names[] = {
        [KIND_ident] = "ident",   [KIND_text] = "text", [KIND_bytes] = "bytes",
        [KIND_value] = "value",   [KIND_flag] = "flag", [KIND_i64] = "i64",
        [KIND_u32] = "u32",       [KIND_u64] = "u64",   [KIND_texts] = "texts",
        [KIND_labels] = "labels", [KIND_uuid] = "uuid", [KIND_one] = "record",
        [KIND_group] = "records",
    };
    return names[field->kind];
}

/* "record mount", "text". */
static char *kind_text(const msg_field_t *field)
{
    bool nested = field->kind == KIND_one || field->kind == KIND_group;
    return util_format("%s%s%s", kind_name(field), nested ? " " : "",
                       nested ? msg_type(field->record)->c_name : "");
}

static json_t *field_json(const msg_field_t *field)
{
    bool nested = field->kind == KIND_one || field->kind == KIND_group;
    return json_pack("{s:s, s:s, s:s*, s:b, s:I, s:s}", "name", field->name, "kind",
                     kind_name(field), "record", nested ? msg_type(field->record)->c_name : NULL,
                     "required", field->required, "limit", (json_int_t)field->limit, "meaning",
                     field->meaning);
}

static json_t *type_json(const msg_type_t *type)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < type->field_count; i++)
        json_array_append_new(fields, field_json(&type->fields[i]));
    if (!type->name)
        return json_pack("{s:s, s:s, s:o}", "record", type->c_name, "meaning", type->meaning,
                         "fields", fields);
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:o}", "method", type->name, "service",
                     msg_service_name(type->service), "redelivery",
                     msg_redelivery_name(type->redelivery), "class", msg_class_name(type->class),
                     "seconds", (int)type->seconds, "answer", msg_type(type->answer)->c_name,
                     "meaning", type->meaning, "fields", fields);
}

static void print_type(const msg_type_t *type)
{
    if (type->name)
        printf("%s -> %s  [%s, %s, %s, %u s]\n", type->name, msg_type(type->answer)->c_name,
               msg_service_name(type->service), msg_class_name(type->class),
               msg_redelivery_name(type->redelivery), type->seconds);
    else
        printf("%s\n", type->c_name);
    printf("  %s\n", type->meaning);
    AUTO(table)
    table = table_new(PADDING);
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        AUTO_FREE char *kind = kind_text(field);
        AUTO_FREE char *limit =
            field->limit ? util_format("<= %" PRIu64, field->limit) : util_strdup("");
        table_add(table, "    %s\t%s\t%s\t%s\t%s", field->name, kind,
                  field->required ? "required" : "optional", limit, field->meaning);
    }
    table_print(table, stdout);
}

int cmd_messages(session_t *session)
{
    const char *wanted = session_operand(session, 0);
    bool found = false;
    for (int id = 0; id < MSG_COUNT; id++) {
        const msg_type_t *type = msg_type((msg_id_t)id);
        if (wanted && strcmp(wanted, name_of(type)))
            continue;
        if (session_json(session))
            output_json(type_json(type));
        else
            print_type(type);
        found = true;
    }
    status_t st;
    if (found)
        return 0;
    status_set(&st, STATUS_NOT_FOUND, "no method or record is called %s", wanted);
    return session_fail(&st);
}
