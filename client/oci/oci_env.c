/* The environment of a container's process. */
#include "client/oci/oci_env.h"

#include <string.h>

#include "client/oci/oci_file.h"
#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

#define FLAG      "--env"
#define FILE_FLAG "--env-file"

/* The index of the variable whose name is the first `size` bytes of `name`, or the array's size. */
static size_t find(const json_t *env, const char *name, size_t size)
{
    size_t i = 0;
    for (; i < json_array_size(env); i++) {
        const char *variable = json_string_value(json_array_get(env, i));
        if (variable && !strncmp(variable, name, size) && variable[size] == '=')
            break;
    }
    return i;
}

static status_code_t set(json_t *env, const char *flag, const char *assignment, status_t *st)
{
    size_t size = strcspn(assignment, "=");
    if (size == 0)
        return oci_text_refuse(st, flag, assignment, "the variable has no name");
    if (oci_text_check(flag, assignment, OCI_TEXT_SIZE_MAX, st))
        return st->code;

    size_t i = find(env, assignment, size);
    if (!assignment[size])
        json_array_remove(env, i);
    else if (i < json_array_size(env))
        json_array_set_new(env, i, oci_json_must(json_string(assignment)));
    else if (i >= OCI_ENV_MAX)
        return oci_text_refuse(st, flag, assignment, "more than %d variables", OCI_ENV_MAX);
    else
        oci_json_push(env, json_string(assignment));
    return STATUS_OK;
}

status_code_t oci_env_set(json_t *env, char *const *assignments, status_t *st)
{
    if (oci_text_check_list(FLAG, assignments, OCI_TEXT_SIZE_MAX, st))
        return st->code;
    for (size_t i = 0; assignments && assignments[i]; i++)
        if (set(env, FLAG, assignments[i], st))
            return st->code;
    return STATUS_OK;
}

status_code_t oci_env_set_file(json_t *env, const char *path, status_t *st)
{
    AUTO_FREE char *text = NULL;
    if (oci_text_check(FILE_FLAG, path, OCI_TEXT_PATH_MAX, st) ||
        oci_file_read(FILE_FLAG, path, OCI_FILE_ENV_MAX, &text, st))
        return st->code;

    char *rest = text;
    for (size_t number = 1; rest; number++) {
        char *line = strsep(&rest, "\n");
        size_t size = strlen(line);
        if (size && line[size - 1] == '\r')
            line[size - 1] = '\0';
        if (*line && *line != '#' && set(env, "line", line, st))
            return status_wrap(st, FILE_FLAG " %s: line %zu", path, number);
    }
    return STATUS_OK;
}

void oci_env_set_default(json_t *env, const char *name, const char *value)
{
    if (find(env, name, strlen(name)) == json_array_size(env))
        oci_json_push(env, json_pack("s++", name, "=", value));
}
