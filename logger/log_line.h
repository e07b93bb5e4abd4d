/* One line of a log file. The format is the CRI's (kubelet's and its log collectors read it):
 *
 *   2026-01-31T12:00:00.123456789Z stdout F text
 *
 * time in UTC with nine digits; stdout, stderr, or shimd for words of the log writer's own; F for a
 * whole line, P for a part whose rest follows in the next line of the same stream. The text is the
 * container's, byte for byte. */
#ifndef SHIMD_LOG_LINE_H
#define SHIMD_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum log_tag {
    LOG_STDOUT,
    LOG_STDERR,
    LOG_SHIMD,
} log_tag_t;

typedef struct log_line {
    int64_t time; /* nanoseconds since the epoch */
    log_tag_t tag;
    bool partial;
    const char *text; /* not NUL-terminated; any byte but a newline */
    size_t size;
} log_line_t;

#define LOG_LINE_TEXT_MAX   16384 /* bytes of output in one line; longer ones are cut */
#define LOG_LINE_PREFIX_MAX 48    /* what stands before them */

/* The time as it stands in a line, NUL-terminated. */
#define LOG_LINE_TIME_SIZE 31
void log_line_time(int64_t time, char text[LOG_LINE_TIME_SIZE]);

/* Writes the line with its newline to `to`, which has room for LOG_LINE_PREFIX_MAX + line->size + 1
 * bytes. `time` is log_line_time's text for it, which many lines share. Returns the number of
 * bytes.
 */
size_t log_line_write(const log_line_t *line, const char time[LOG_LINE_TIME_SIZE], char *to);

/* Reads a line of `size` bytes, without its newline; ret->text points into it. False when it is
 * none of ours. */
bool log_line_read(const char *data, size_t size, log_line_t *ret);

/* "stdout", "stderr" or "shimd". */
const char *log_tag_name(log_tag_t tag);

#endif
