/* Writes the reference part of the protocol manual from the table of messages.
 *
 *   protocol_reference FILE          the file with the part between the markers made anew
 *   protocol_reference --check FILE  exit code 1 when that would change the file
 */
#include "common/message.h"
#include "common/util.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEGIN    "<!-- reference: begin -->\n"
#define END      "<!-- reference: end -->"
#define FILE_MAX (1 << 20) /* bytes; the manual is far smaller */

static const char *kind_name(msg_kind_t kind)
{
    static const char *const names[] = {
        [KIND_ident] = "ident",   [KIND_text] = "text", [KIND_bytes] = "bytes",
        [KIND_value] = "value",   [KIND_flag] = "flag", [KIND_i64] = "i64",
        [KIND_u32] = "u32",       [KIND_u64] = "u64",   [KIND_texts] = "texts",
        [KIND_labels] = "labels", [KIND_uuid] = "uuid",
    };
    return names[kind];
}

static void write_kind(FILE *out, const msg_field_t *field)
{
    if (field->kind == KIND_one)
        fprintf(out, "record %s", msg_type(field->record)->c_name);
    else if (field->kind == KIND_group)
        fprintf(out, "array of record %s", msg_type(field->record)->c_name);
    else
        fputs(kind_name(field->kind), out);
}

static const char *unit_of(msg_kind_t kind)
{
    switch (kind) {
    case KIND_ident:
    case KIND_text:
    case KIND_bytes:
    case KIND_value:
        return " bytes";
    case KIND_texts:
    case KIND_labels:
    case KIND_group:
        return " elements";
    default:
        return ""; /* the greatest value */
    }
}

static void write_fields(FILE *out, const msg_type_t *type)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const msg_field_t *field = &type->fields[i];
        fprintf(out, "- `%s` (", field->name);
        write_kind(out, field);
        if (field->required)
            fputs(", required", out);
        if (field->limit && field->kind != KIND_ident)
            fprintf(out, ", at most %" PRIu64 "%s", field->limit, unit_of(field->kind));
        fprintf(out, "): %s\n", field->meaning);
    }
}

static void write_method(FILE *out, const msg_type_t *type)
{
    fprintf(out, "### %s\n\n%s\n\n", type->name, type->meaning);
    if (type->service == SERVICE_LINK) {
        fputs("Between broker and worker; not answered.\n", out);
    } else {
        fprintf(out, "%s, %s; ", msg_class_name(type->class),
                msg_redelivery_name(type->redelivery));
        if (type->seconds)
            fprintf(out, "deadline %u s; ", type->seconds);
        else
            fputs("no deadline; ", out);
        fprintf(out, "answered by %s with record `%s`.\n", msg_service_name(type->service),
                msg_type(type->answer)->c_name);
    }
    if (type->field_count)
        fputc('\n', out);
    write_fields(out, type);
    fputc('\n', out);
}

static void write_methods(FILE *out, const char *heading, bool internal)
{
    fprintf(out, "## %s\n\n", heading);
    for (msg_id_t id = 0; id < MSG_COUNT; id++)
        if (msg_type(id)->name && (msg_type(id)->class == CLASS_INTERNAL) == internal)
            write_method(out, msg_type(id));
}

static void write_reference(FILE *out)
{
    write_methods(out, "Methods", false);
    write_methods(out, "Methods between the processes of a cluster", true);
    fputs("## Records\n\n", out);
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        const msg_type_t *type = msg_type(id);
        if (type->name)
            continue;
        fprintf(out, "### %s\n\n%s\n\n", type->c_name, type->meaning);
        write_fields(out, type);
        fputs(type->field_count ? "\n" : "", out);
    }
}

/* `old` with its reference made anew, or NULL when it has no markers. The caller frees. */
static char *renewed(const char *old)
{
    const char *begin = strstr(old, BEGIN);
    const char *end = begin ? strstr(begin, END) : NULL;
    if (!end)
        return NULL;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    fwrite(old, 1, (size_t)(begin - old) + strlen(BEGIN), out);
    fputc('\n', out);
    write_reference(out);
    fputs(end, out);
    if (fclose(out))
        abort();
    return text;
}

static char *read_file(const char *name)
{
    FILE *in = fopen(name, "re");
    if (!in)
        return NULL;
    char *text = calloc(1, FILE_MAX + 1);
    size_t size = text ? fread(text, 1, FILE_MAX, in) : 0;
    fclose(in);
    if (size == FILE_MAX) {
        free(text);
        return NULL;
    }
    return text;
}

int main(int argc, char **argv)
{
    bool check = argc == 3 && !strcmp(argv[1], "--check");
    if (argc != 2 && !check) {
        fputs("usage: protocol_reference [--check] FILE\n", stderr);
        return 2;
    }
    const char *name = argv[argc - 1];
    AUTO_FREE char *old = read_file(name);
    AUTO_FREE char *new = old ? renewed(old) : NULL;
    if (!new) {
        fprintf(stderr, "protocol_reference: %s: %s\n", name,
                old ? "the markers are missing" : "cannot be read");
        return 2;
    }
    if (!check)
        return fputs(new, stdout) < 0;
    if (!strcmp(old, new))
        return 0;
    fprintf(stderr,
            "protocol_reference: %s does not say what common/messages.def says; make it anew "
            "with protocol_reference FILE\n",
            name);
    return 1;
}
