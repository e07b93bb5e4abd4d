/* The `log` fifo of a bundle: made with the bundle, held open for reading from before its shim
 * starts, and copied line by line to our own log. A shim without it dies silently; one whose fifo
 * nobody has opened hangs at its first call. */
#ifndef SHIMD_SHIM_LOG_PIPE_H
#define SHIMD_SHIM_LOG_PIPE_H

#include "common/io_set.h"
#include "common/status.h"

typedef struct log_pipe log_pipe_t;

#define LOG_PIPE_LINE_MAX 2048 /* bytes; longer lines are cut into several */

/* Opens BUNDLE/log read-write, so that it never reaches end of file, and makes it when it is
 * missing. `label` stands before every line and is copied. NULL with a status on failure. */
log_pipe_t *log_pipe_open(io_set_t *io, const char *bundle, const char *label, status_t *st);
void log_pipe_destroy(log_pipe_t **self);

#endif
