/* Standard input, output and errors of a process in a container, as its shim takes them: fifos in
 * a directory of their own, a log URI, or nothing. */
#ifndef SHIMD_TASK_IO_H
#define SHIMD_TASK_IO_H

#include "common/status.h"

#include <czmq.h>

typedef struct task_io task_io_t;

/* What the command line asks for. */
typedef struct task_io_options {
    const char *name;       /* container or exec id: the fifos are NAME-stdin and so on */
    const char *dir;        /* of the fifos, to be made: fifos_dir_name */
    bool terminal;          /* errors come with the output */
    bool null_io;           /* no fifos at all */
    const char *log_uri;    /* output goes there; NULL for fifos */
    const char *log_writer; /* URI of our own log writer, which takes a terminal's output too;
                             * NULL for none */
    const char *owner; /* a path with which they lose their use; noted beside them. NULL: none */
} task_io_options_t;

/* Makes the fifos, mode 0600, in their directory, and opens those that are read here: a shim waits
 * for a reader. INVALID_ARGUMENT for options that do not go together or a URI that is none. NULL on
 * failure, and nothing is left behind then. */
task_io_t *task_io_new(zloop_t *loop, const task_io_options_t *options, status_t *st);

/* Opens the fifos of a process that exists. Paths may be NULL or empty; a log URI is not read. */
task_io_t *task_io_open(zloop_t *loop, const char *stdin_path, const char *stdout_path,
                        const char *stderr_path, status_t *st);

/* Removes the fifos, unless they are to be kept. */
void task_io_destroy(task_io_t **self);

/* What the shim is told; NULL for none. */
const char *task_io_stdin(const task_io_t *self);
const char *task_io_stdout(const task_io_t *self);
const char *task_io_stderr(const task_io_t *self);

/* Copies output and errors to this program's own standard descriptors from here on. `on_stdin` is
 * called when our standard input has ended and the fifo's writing end is closed; `on_drained` when
 * output and errors have both ended. */
typedef void task_io_event_t(void *arg);
void task_io_start(task_io_t *self, task_io_event_t *on_stdin, task_io_event_t *on_drained,
                   void *arg);

/* Copies standard input too. Not before the process is started: the shim opens an exec's input only
 * then, and what it was sent before, its end too, would be lost. */
void task_io_take_input(task_io_t *self);

/* Whether all output has been written out to its end. */
bool task_io_is_drained(const task_io_t *self);

/* Why standard output (or else standard error) takes no more, as an errno; 0 while both do. What
 * comes for it is thrown away. `on_drained` is called when this changes too. */
int task_io_error(const task_io_t *self);

/* Milliseconds since output moved last; 0 while some is read and not written yet. */
int64_t task_io_idle_ms(const task_io_t *self);

/* The fifos outlive this program: the task goes on with them. */
void task_io_keep(task_io_t *self);

#endif
