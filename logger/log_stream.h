/* Cuts what a process writes into lines. */
#ifndef SHIMD_LOG_STREAM_H
#define SHIMD_LOG_STREAM_H

#include "logger/log_line.h"

/* Called for each line, without its newline, in order. A part is LOG_LINE_TEXT_MAX bytes long, or
 * what was flushed. */
typedef void log_stream_emit_t(void *arg, const char *text, size_t size, bool partial);

typedef struct log_stream {
    log_stream_emit_t *emit;
    void *arg;
    size_t used;
    char pending[LOG_LINE_TEXT_MAX]; /* of a line whose newline has not come */
} log_stream_t;

void log_stream_take(log_stream_t *self, const char *data, size_t size);

/* What is pending becomes a part: its newline may come later, or never. */
void log_stream_flush(log_stream_t *self);

#endif
