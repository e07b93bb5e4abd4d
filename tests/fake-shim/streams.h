/* Standard input, output and error of a container's process: FIFOs and files of the manager. */
#ifndef SHIMD_FAKE_STREAMS_H
#define SHIMD_FAKE_STREAMS_H

#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct streams {
    int child[3];     /* for the process; closed here once it runs */
    int readers[2];   /* our ends of output FIFOs, so that a vanished reader kills nobody */
    int stdin_writer; /* keeps the process from seeing the end of its input; until CloseIO */
    int master;       /* of a terminal */
} streams_t;

#define STREAMS_NONE ((streams_t){{-1, -1, -1}, {-1, -1}, -1, -1})

/* Opens paths as runc's shim does: "" is /dev/null; a FIFO is opened for writing, waiting at most
 * `timeout_ms` for its reader (DEADLINE_EXCEEDED); a file must exist; file:///PATH is made. With a
 * terminal, `err` is not used. */
status_code_t streams_open(streams_t *self, const char *in, const char *out, const char *err,
                           bool is_terminal, int64_t timeout_ms, status_t *st);

/* The process has its copies. */
void streams_close_child(streams_t *self);
void streams_close_stdin(streams_t *self);
void streams_close(streams_t *self);

void streams_resize(const streams_t *self, uint32_t width, uint32_t height);

#endif
