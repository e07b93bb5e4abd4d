/* The environment of a container's process. */
#ifndef SHIMD_OCI_ENV_H
#define SHIMD_OCI_ENV_H

#include <jansson.h>
#include <stdbool.h>

#include "common/status.h"

/* Variables that one environment may have. */
#define OCI_ENV_MAX 4096

/* Changes the array `env` of NAME=VALUE texts by each of `assignments` (--env, NULL-terminated or
 * NULL): NAME=VALUE replaces the variable where it is or appends it, NAME alone removes it.
 * containerd takes an empty name, which the runtime then refuses, and keeps both when a name is
 * given twice; here the former is refused and of the latter the last stays.
 * INVALID_ARGUMENT; `env` is then half changed. */
status_code_t oci_env_set(json_t *env, char *const *assignments, status_t *st);

/* The same for each line of the file `path` (--env-file). Empty lines and those beginning with '#'
 * are passed by (containerd makes a variable of "#A=1"); everything else is taken as it is, quotes
 * and blanks too. A carriage return at the end goes. */
status_code_t oci_env_set_file(json_t *env, const char *path, status_t *st);

/* Sets NAME=VALUE unless the environment has a NAME: what the user said goes before what we guess.
 */
void oci_env_set_default(json_t *env, const char *name, const char *value);

#endif
