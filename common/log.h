/* Log lines on standard error: time, process, level, sentence. systemd and people read them alike.
 */
#ifndef SHIMD_LOG_H
#define SHIMD_LOG_H

#include <stdbool.h>

typedef enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
} log_level_t;

/* The name that stands in every line; `name` must outlive the process's logging. */
void log_open(const char *name, log_level_t level);

/* "error", "warn", "info" or "debug"; false for anything else. */
bool log_level_parse(const char *text, log_level_t *ret);
const char *log_level_name(log_level_t level);
bool log_is_on(log_level_t level);

/* One line each; what would make it longer than LOG_LINE_MAX bytes is cut off. Never fails, leaves
 * errno alone, and never waits for whoever reads standard error: what a pipe, a socket or a
 * terminal does not take at once is lost. Before the next line that it takes stands one that says
 * how many are; both together are no longer than LOG_LINE_MAX. */
#define LOG_LINE_MAX 4096
void log_line(log_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_is_on(LOG_LEVEL_DEBUG))                                                            \
            log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                \
    } while (0)

#endif
