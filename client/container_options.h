/* The container record that the options of `run` and `containers create` describe. */
#ifndef SHIMD_CONTAINER_OPTIONS_H
#define SHIMD_CONTAINER_OPTIONS_H

#include "client/session.h"

typedef enum container_options_for {
    CONTAINER_OPTIONS_RUN,    /* with the CPU shares that ctr run sets */
    CONTAINER_OPTIONS_CREATE, /* without */
} container_options_for_t;

typedef struct container_options {
    msg_container_create_t ask; /* its memory is the session's */
    bool terminal;              /* what the spec says */
} container_options_t;

/* Says what is missing or too many among the words, and returns the exit status for that; 0 when
 * they are as they should be. */
int container_options_usage(session_t *session);

/* Reads options and operands ("ROOTFS ID COMMAND...", or "ID" with --config) and makes the spec.
 * container_options_usage must have agreed. Blocks on the files they name. INVALID_ARGUMENT says
 * what was refused. */
status_code_t container_options_read(session_t *session, container_options_for_t purpose,
                                     container_options_t *ret, status_t *st);

/* Whether a spec's process has a terminal. */
bool container_options_terminal(const msg_bytes_t *spec);

#endif
