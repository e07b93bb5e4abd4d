/* Log lines on standard error. */
#include "common/log.h"

#include "common/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *log_name = "shimd";
static log_level_t log_threshold = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_open(const char *name, log_level_t level)
{
    log_name = name;
    log_threshold = level;
}

bool log_level_parse(const char *text, log_level_t *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
        if (!strcmp(text, level_names[i])) {
            *ret = (log_level_t)i;
            return true;
        }
    return false;
}

const char *log_level_name(log_level_t level)
{
    return level_names[level];
}

bool log_is_on(log_level_t level)
{
    return level <= log_threshold;
}

void log_line(log_level_t level, const char *format, ...)
{
    if (!log_is_on(level))
        return;

    char line[LOG_LINE_MAX];
    int64_t now = util_now_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    used +=
        (size_t)snprintf(line + used, sizeof line - used, ".%03dZ %s[%d] %s: ", (int)(now % 1000),
                         log_name, (int)getpid(), level_names[level]);

    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    if (wanted < 0)
        return;
    size_t room = sizeof line - used - 2;
    used += (size_t)wanted < room ? (size_t)wanted : room;
    line[used++] = '\n';
    /* One write a line, so that lines of several processes do not mix. */
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* there is nowhere left to complain */
}
