/* Log lines on standard error. */
#include "common/log.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

/* A pipe takes a line of this size as a whole or not at all. */
_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a log line is no larger than what a pipe takes at once");

static const char *log_name = "shimd";
static log_level_t log_threshold = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Lines that could not be written and that nobody was told of yet. */
static struct loss {
    unsigned long lines;
    int cause;   /* errno of the last one */
    bool is_cut; /* its beginning was written, without its end */
} loss;

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

/* Writing without waiting ------------------------------------------------------------------------
 */

/* Others share what standard error refers to, and O_NONBLOCK would be theirs too: a pipe or a
 * terminal is opened anew, so that the flag is ours alone. */
static ssize_t write_to_own(const char *line, size_t size)
{
    AUTO_CLOSE int fd =
        open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND | O_CLOEXEC);
    if (fd >= 0)
        return write(fd, line, size);
    /* It cannot be opened, as for want of /proc. Only if another writer takes the last room of a
     * pipe between these two does it wait for a reader. */
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) == 1)
        return write(STDERR_FILENO, line, size);
    errno = EAGAIN;
    return -1;
}

/* One write a line, so that lines of several processes do not mix. */
static ssize_t write_now(const char *line, size_t size)
{
    struct stat info;
    if (fstat(STDERR_FILENO, &info))
        return -1;
    if (S_ISSOCK(info.st_mode))
        return send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode))
        return write_to_own(line, size);
    return write(STDERR_FILENO, line, size); /* nobody needs to read a file */
}

static void put(const char *text, size_t size)
{
    ssize_t written = write_now(text, size);
    if (written == (ssize_t)size) {
        loss = (struct loss){0};
        return;
    }
    loss.lines++;
    loss.cause = written < 0 ? errno : EAGAIN;
    loss.is_cut = loss.is_cut || written > 0;
}

/* Lines ------------------------------------------------------------------------------------------
 */

/* What every line begins with; how long that is. */
static size_t begin_line(char *line, size_t room, log_level_t level)
{
    int64_t now = util_now_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t used = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, room - used, ".%03dZ %s[%d] %s: ", (int)(now % 1000),
                             log_name, (int)getpid(), level_names[level]);
    return used;
}

/* The line that tells of what was lost, when something was; how long it is. */
static size_t tell_loss(char *line, size_t room)
{
    size_t used = 0;
    if (!loss.lines)
        return 0;
    if (loss.is_cut)
        line[used++] = '\n';
    used += begin_line(line + used, room - used, LOG_LEVEL_WARN);
    used += (size_t)snprintf(line + used, room - used, "%lu line%s lost: %s\n", loss.lines,
                             loss.lines == 1 ? " is" : "s are",
                             loss.cause == EAGAIN ? "nobody read them" : strerror(loss.cause));
    return used;
}

void log_line(log_level_t level, const char *format, ...)
{
    if (!log_is_on(level))
        return;

    int error = errno; /* callers tell of it first and then use it */
    char text[LOG_LINE_MAX];
    /* With the line in one write: otherwise it would be told again and again where there is room
     * for that and not for the line. */
    size_t used = tell_loss(text, sizeof text);
    used += begin_line(text + used, sizeof text - used, level);
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text + used, sizeof text - used - 1, format, args);
    va_end(args);
    if (wanted >= 0) {
        size_t room = sizeof text - used - 2;
        used += (size_t)wanted < room ? (size_t)wanted : room;
        text[used++] = '\n';
        put(text, used);
    }
    errno = error;
}
