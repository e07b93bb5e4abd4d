/* Reads the output of a process from its pipes into a log. */
#ifndef SHIMD_LOG_WRITER_H
#define SHIMD_LOG_WRITER_H

#include "logger/log_settings.h"

typedef struct log_writer log_writer_t;

#define LOG_WRITER_PIPE_SIZE (1 << 20) /* asked for: what a disk that is slow may lag behind */
#define LOG_WRITER_IDLE_MS   250 /* of silence, after which a line is written without its newline */
#define LOG_WRITER_RETRY_MS  1000 /* how often a failed log is tried when no output comes */

/* Opens nothing yet. Takes the two descriptors over: standard output and errors. With a terminal
 * the second is closed, as nothing comes from it. `settings` must outlive the writer. NULL when
 * memory is short. */
log_writer_t *log_writer_new(const log_settings_t *settings, int output, int errors);
void log_writer_destroy(log_writer_t **self);

/* Another process wrote since this one did last, and was killed: what is held here is not new. A
 * line will say that some output may be missing. */
void log_writer_note_death(log_writer_t *self);

/* Writes until both pipes have ended: true. Or until `guard`, if it is not -1, polls readable:
 * false; it may be called again then. */
bool log_writer_run(log_writer_t *self, int guard);

#endif
