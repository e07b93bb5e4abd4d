/* The command line that every runtime v2 shim takes. */
#include "tests/fake-shim/options.h"

#include "common/util.h"

#include <stdio.h>
#include <string.h>

static const char **text_flag(options_t *self, const char *name)
{
    const struct {
        const char *name;
        const char **value;
    } flags[] = {
        {"namespace", &self->ns},    {"id", &self->id},
        {"address", &self->address}, {"publish-binary", &self->publish_binary},
        {"bundle", &self->bundle},
    };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (strcmp(flags[i].name, name) == 0)
            return flags[i].value;
    return NULL;
}

static bool *bool_flag(options_t *self, const char *name)
{
    if (strcmp(name, "debug") == 0)
        return &self->is_debug;
    if (strcmp(name, "v") == 0)
        return &self->is_version;
    /* The first generation does not have it, and says so as Go does. */
    if (strcmp(name, "info") == 0 && options_generation(self, NULL) > 1)
        return &self->is_info;
    return NULL;
}

bool options_parse(int argc, char **argv, options_t *ret)
{
    const char *slash = strrchr(argv[0], '/');
    *ret = (options_t){.program = slash ? slash + 1 : argv[0],
                       .ns = "",
                       .id = "",
                       .address = "",
                       .publish_binary = "",
                       .bundle = "",
                       .verb = ""};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
        char *value = strchr(name, '=');
        if (value)
            *value++ = '\0';
        bool *is_set = bool_flag(ret, name);
        const char **text = text_flag(ret, name);
        if (is_set) {
            *is_set = true;
        } else if (text && (value || i + 1 < argc)) {
            *text = value ? value : argv[++i];
        } else {
            fprintf(stderr, "flag provided but not defined: -%s\n", name);
            return false;
        }
    }
    if (i < argc)
        ret->verb = argv[i];
    return true;
}

int options_generation(const options_t *self, const spec_t *spec)
{
    int by_name = strstr(self->program, "fakeproto")  ? 3
                  : strstr(self->program, "fakejson") ? 2
                                                      : 1;
    int64_t generation = spec_setting_number(spec, "generation", by_name);
    return generation >= 1 && generation <= 3 ? (int)generation : by_name;
}

int options_task_version(const options_t *self, const spec_t *spec)
{
    int by_generation = options_generation(self, spec) == 1 ? 2 : 3;
    return spec_setting_number(spec, "task-version", by_generation) == 2 ? 2 : 3;
}

int options_serve_version(const options_t *self, const spec_t *spec)
{
    int announced = options_task_version(self, spec);
    return spec_setting_number(spec, "serve-version", announced) == 2 ? 2 : 3;
}
