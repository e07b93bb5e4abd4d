/* The command line that every runtime v2 shim takes, and which generation of shim is played. */
#ifndef SHIMD_FAKE_OPTIONS_H
#define SHIMD_FAKE_OPTIONS_H

#include "tests/fake-shim/spec.h"

#include <stdbool.h>

typedef struct options {
    const char *program; /* base name of the executable as it was called */
    const char *ns, *id, *address, *publish_binary, *bundle; /* "" when not given */
    bool is_debug, is_info, is_version;
    const char *verb; /* "start", "delete", or "" for the daemon */
} options_t;

/* Go's flag package: -name value, -name=value, one dash or two. False with a line on standard error
 * for an unknown flag. */
bool options_parse(int argc, char **argv, options_t *ret);

/* 1, 2 or 3: the setting "generation", else by the program's name. `spec` may be NULL. */
int options_generation(const options_t *self, const spec_t *spec);

/* 2 or 3: what `start` says (setting "task-version"), and what is served ("serve-version"). */
int options_task_version(const options_t *self, const spec_t *spec);
int options_serve_version(const options_t *self, const spec_t *spec);

#endif
