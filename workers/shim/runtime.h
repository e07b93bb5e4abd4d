/* Finds a runtime's shim executable, as containerd's runtime v2 does. */
#ifndef SHIMD_SHIM_RUNTIME_H
#define SHIMD_SHIM_RUNTIME_H

#include "common/status.h"

#include <limits.h>
#include <stdbool.h>

/* `name` is "a.b.NAME.VERSION", whose executable containerd-shim-NAME-VERSION is looked for in PATH
 * and beside our own executable, or an absolute path. `path` gets what was found. INVALID_ARGUMENT
 * for a name of another form, FAILED_PRECONDITION when no such executable is installed. */
status_code_t runtime_find(const char *name, char path[PATH_MAX], status_t *st);

/* The same, but an absolute path is not looked at: it may hang. */
status_code_t runtime_resolve(const char *name, char path[PATH_MAX], status_t *st);

/* True for shims that take containerd.runc.v1.Options. */
bool runtime_is_runc(const char *name);

/* What is known of an executable, forgotten when its size, inode or mtime changes. Nothing is ever
 * known of one that cannot be looked at without waiting. */
typedef enum runtime_generation {
    RUNTIME_UNKNOWN,
    RUNTIME_ANY,
    RUNTIME_BOOTSTRAP
} runtime_generation_t;
runtime_generation_t runtime_generation(const char *path);
void runtime_learn(const char *path, runtime_generation_t generation);

#endif
