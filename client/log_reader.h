/* Reads the files of a log in order, while they are written and rotated. */
#ifndef SHIMD_LOG_READER_H
#define SHIMD_LOG_READER_H

#include "common/status.h"
#include "logger/log_line.h"

typedef struct log_reader log_reader_t;

/* For the log in `dir`, from its first line on. A directory that is not there yet has no lines.
 * NULL with PERMISSION_DENIED, as it is root's, or what else keeps it from being opened. */
log_reader_t *log_reader_new(const char *dir, status_t *st);
void log_reader_destroy(log_reader_t **self);

/* Passes by all but the last `lines` lines, without reading what is before them. A line that was
 * cut into parts is one. Before the first log_reader_next. */
status_code_t log_reader_tail(log_reader_t *self, uint64_t lines, status_t *st);

/* The next line that is there whole; its text is good until the next call. False at the end, which
 * may be the end for now, and after a failure, with a status. */
bool log_reader_next(log_reader_t *self, log_line_t *ret, status_t *st);

/* How many files were rotated away before they were read, since the last call. */
uint64_t log_reader_take_missed(log_reader_t *self);

/* The log's directory, -1 while it is not there. */
int log_reader_dir(const log_reader_t *self);

/* Whether a writer has the log open. */
bool log_reader_is_written(const log_reader_t *self);

#endif
