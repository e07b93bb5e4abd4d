/* Runs a shim's executable for one of its verbs and collects what it says, without blocking the
 * loop. */
#ifndef SHIMD_SHIM_SPAWN_H
#define SHIMD_SHIM_SPAWN_H

#include "common/io_set.h"
#include "common/status.h"

#include <czmq.h>

#define SPAWN_STDOUT_MAX (64u << 10) /* bytes; more is not an address */
#define SPAWN_STDERR_MAX (4u << 10)  /* bytes kept; the rest is read and thrown away */
#define SPAWN_STDIN_MAX  (1u << 20)  /* bytes */

typedef struct spawn spawn_t;

typedef struct spawn_result {
    int exit_code;  /* -1 when it was killed by a signal */
    bool timed_out; /* it was killed at its deadline */
    const uint8_t *stdout_data;
    size_t stdout_size;
    bool stdout_too_long;
    const char *stderr_text; /* trimmed, one line for messages */
} spawn_result_t;

/* Called once, from the loop; the result is gone after the call. */
typedef void spawn_done_t(void *arg, const spawn_result_t *result);

typedef struct spawn_command {
    const char *path;
    char *const *argv; /* NULL-terminated */
    char *const *envp; /* NULL-terminated */
    const char *cwd;
    const uint8_t *stdin_data;
    size_t stdin_size; /* 0: standard input is /dev/null */
    int64_t timeout_ms;
} spawn_command_t;

/* Starts it in a process group of its own, with an empty signal mask, the limit of open files that
 * we were given, standard input from the given bytes, and no descriptor but the standard three. It
 * is killed if this process dies first, and with its group at the deadline: what it left behind by
 * then is the caller's to undo. Everything in `command` is copied. NULL with a status when it
 * cannot be started. */
spawn_t *spawn_start(io_set_t *io, const spawn_command_t *command, spawn_done_t *done, void *arg,
                     status_t *st);

#endif
