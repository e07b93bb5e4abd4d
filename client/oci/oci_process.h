/* The process object of a spec: the container's own command, and those executed in it later. */
#ifndef SHIMD_OCI_PROCESS_H
#define SHIMD_OCI_PROCESS_H

#include <jansson.h>
#include <stdbool.h>

#include "client/oci/oci_spec.h"
#include "common/status.h"

/* Arguments that one command may have, its name included. */
#define OCI_PROCESS_ARGS_MAX 4096

/* What `tasks exec` was told; texts and lists as in oci_spec_options_t. */
typedef struct oci_process_options {
    char *const *args; /* the command; at least one */
    char *const *env;  /* --env: changes the container's environment */
    const char *cwd;   /* --cwd: absolute; NULL or "" for the container's */
    const char *user;  /* --user: see oci_user_new; NULL for the container's */
    bool terminal;     /* --tty */
} oci_process_options_t;

/* The process for `tasks exec`: a copy of the one in the container's `spec`, which stays as it is,
 * with args and terminal replaced, and user, cwd and env where they are given. User names are
 * looked up in the spec's root. Unlike ctr a user also brings the groups it is a member of, as at
 * `run`. The caller owns it; NULL with INVALID_ARGUMENT, or FAILED_PRECONDITION when the spec has
 * no usable process. */
json_t *oci_process_new(const json_t *spec, const oci_process_options_t *options, status_t *st);

/* The process object of a new container. `root` is the absolute path of its root filesystem. The
 * caller owns it; NULL with INVALID_ARGUMENT. */
json_t *oci_process_init_new(const oci_spec_options_t *options, const char *root, status_t *st);

#endif
