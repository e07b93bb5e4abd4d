/* The OCI config.json of a bundle, read with jansson. */
#include "tests/fake-shim/spec.h"

#include "common/util.h"

#include <ctype.h>
#include <czmq.h>
#include <jansson.h>

#define SETTING_ANNOTATION "io.shimd.fake."
#define WORDS_MAX          4096

struct spec {
    json_t *root;
};

spec_t *spec_load(const char *bundle, status_t *st)
{
    json_error_t error;
    AUTO_FREE char *path = util_format("%s/config.json", bundle);
    json_t *root = json_load_file(path, 0, &error);
    if (!root) {
        status_set(st, STATUS_UNKNOWN, "%s: %s", path, error.text);
        return NULL;
    }
    spec_t *self = zmalloc(sizeof *self);
    self->root = root;
    return self;
}

void spec_destroy(spec_t **self_p)
{
    spec_t *self = *self_p;
    if (!self)
        return;
    json_decref(self->root);
    free(self);
    *self_p = NULL;
}

const char *spec_annotation(const spec_t *self, const char *key)
{
    return json_string_value(json_object_get(json_object_get(self->root, "annotations"), key));
}

static const char *from_environment(const char *prefix, const char *what)
{
    AUTO_FREE char *name = util_format("%s%s", prefix, what);
    for (char *c = name; *c; c++)
        *c = *c == '.' || *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return getenv(name);
}

const char *spec_setting(const spec_t *self, const char *what)
{
    AUTO_FREE char *key = util_format("%s%s", SETTING_ANNOTATION, what);
    const char *value = self ? spec_annotation(self, key) : NULL;
    if (!value)
        value = from_environment("SHIMD_FAKE_", what);
    if (!value)
        value = from_environment("FAKE_SHIM_", what);
    return value && *value ? value : NULL;
}

int64_t spec_setting_number(const spec_t *self, const char *what, int64_t otherwise)
{
    const char *value = spec_setting(self, what);
    return value ? strtoll(value, NULL, 10) : otherwise;
}

const char *spec_group(const spec_t *self)
{
    const char *group = spec_annotation(self, "io.containerd.runc.v2.group");
    return group ? group : spec_annotation(self, "io.kubernetes.cri.sandbox-id");
}

/* Programs ---------------------------------------------------------------------------------------
 */

static char **words_of(const json_t *array)
{
    size_t count = json_array_size(array);
    if (count > WORDS_MAX)
        count = WORDS_MAX;
    char **words = zmalloc((count + 1) * sizeof *words);
    for (size_t i = 0; i < count; i++) {
        const char *word = json_string_value(json_array_get(array, i));
        words[i] = util_strdup(word ? word : "");
    }
    return words;
}

static status_code_t program_of(const json_t *process, program_t *ret, status_t *st)
{
    const json_t *args = json_object_get(process, "args");
    const char *cwd = json_string_value(json_object_get(process, "cwd"));
    if (json_array_size(args) == 0)
        return status_set(st, STATUS_UNKNOWN, "process has no args: unknown");
    *ret = (program_t){.argv = words_of(args),
                       .envp = words_of(json_object_get(process, "env")),
                       .cwd = util_strdup(cwd ? cwd : "/")};
    return STATUS_OK;
}

status_code_t spec_program(const spec_t *self, program_t *ret, status_t *st)
{
    return program_of(json_object_get(self->root, "process"), ret, st);
}

status_code_t program_parse(const uint8_t *json, size_t size, program_t *ret, status_t *st)
{
    json_error_t error;
    json_t *process = json_loadb((const char *)json, size, 0, &error);
    if (!process)
        return status_set(st, STATUS_UNKNOWN, "process is no JSON: %s: unknown", error.text);
    status_code_t code = program_of(process, ret, st);
    json_decref(process);
    return code;
}

static void words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

void program_clear(program_t *self)
{
    words_free(self->argv);
    words_free(self->envp);
    free(self->cwd);
    *self = (program_t){0};
}

static bool is_executable_in(const char *directories, const char *name)
{
    AUTO_FREE char *copy = util_strdup(directories);
    char *rest = copy;
    for (char *directory; (directory = strsep(&rest, ":"));) {
        AUTO_FREE char *path = util_format("%s/%s", directory, name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

status_code_t program_check(const program_t *self, status_t *st)
{
    const char *name = self->argv[0];
    const char *path = "";
    for (size_t i = 0; self->envp[i]; i++)
        if (strncmp(self->envp[i], "PATH=", 5) == 0)
            path = self->envp[i] + 5;
    if (strchr(name, '/') ? access(name, X_OK) == 0 : is_executable_in(path, name))
        return STATUS_OK;
    return status_set(st, STATUS_UNKNOWN,
                      "OCI runtime create failed: exec: \"%s\": executable file not found in "
                      "$PATH: unknown",
                      name);
}
