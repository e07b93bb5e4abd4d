/* The files of a log, written. */
#include "logger/log_store.h"

#include "logger/log_dir.h"
#include "logger/log_failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR_MODE    0700
#define FILE_MODE   0600
#define MARKER_SIZE 256
#define LOCK_TRIES  100 /* a reader looks whether the lock is free, and lets it go at once */
#define LOCK_WAIT   (&(struct timespec){.tv_nsec = 1000000})

struct log_store {
    const char *dir_path;
    log_store_limits_t limits;
    int dir, file;   /* -1 while not open */
    uint64_t number; /* of the file; 0 before the first is known */
    uint64_t size;   /* bytes in it */
    size_t used;     /* bytes of the buffer; whole lines only */
    uint64_t lost_lines, lost_bytes;
    int error; /* why, as errno */
    bool died; /* the writer before this one was killed, and the log does not say so yet */
    int64_t retry_at;
    int64_t time; /* of the line that was added last, and as text */
    char time_text[LOG_LINE_TIME_SIZE];
    char buffer[LOG_STORE_BUFFER];
};

/* Opening -----------------------------------------------------------------------------------------
 */

static bool make_dirs(const char *path)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(part, path, size + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, DIR_MODE) && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return !mkdir(part, DIR_MODE) || errno == EEXIST;
}

static void lock_dir(int dir)
{
    for (int i = 0; i < LOCK_TRIES && flock(dir, LOCK_SH | LOCK_NB); i++)
        nanosleep(LOCK_WAIT, NULL);
}

/* Once open it is kept: a log whose directory was removed does not come back. */
static bool open_dir(log_store_t *self)
{
    if (self->dir >= 0)
        return true;
    if (!log_failpoint("open") || !make_dirs(self->dir_path))
        return false;
    self->dir = open(self->dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->dir >= 0)
        lock_dir(self->dir);
    return self->dir >= 0;
}

/* Cuts off a line without its newline: a failed write or a killed writer left it. */
static bool repair(int file, uint64_t *size)
{
    char data[4096];
    off_t end = lseek(file, 0, SEEK_END);
    off_t whole = end;
    while (whole > 0) {
        size_t wanted = whole < (off_t)sizeof data ? (size_t)whole : sizeof data;
        if (pread(file, data, wanted, whole - (off_t)wanted) != (ssize_t)wanted)
            return false;
        const char *newline = memrchr(data, '\n', wanted);
        if (newline) {
            whole -= data + wanted - newline - 1;
            break;
        }
        whole -= (off_t)wanted;
    }
    *size = (uint64_t)whole;
    return end >= 0 && (whole == end || !ftruncate(file, whole));
}

static bool open_file(log_store_t *self)
{
    char name[LOG_DIR_NAME_SIZE];
    uint64_t lowest;
    if (self->file >= 0)
        return true;
    if (!open_dir(self))
        return false;
    if (!self->number && !log_dir_range(self->dir, 1, &lowest, &self->number))
        return false;
    self->number += !self->number;
    log_dir_name(self->number, name);
    self->file =
        openat(self->dir, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    return self->file >= 0 && repair(self->file, &self->size);
}

static void close_file(log_store_t *self)
{
    if (self->file >= 0)
        close(self->file);
    self->file = -1;
}

/* The oldest goes first: on a full disk that makes the room for the next one. */
static void rotate(log_store_t *self)
{
    char name[LOG_DIR_NAME_SIZE];
    uint64_t lowest = 0, highest;
    uint64_t keep_from =
        self->number + 2 > self->limits.max_files ? self->number + 2 - self->limits.max_files : 1;
    log_failpoint("rotate before");
    close_file(self);
    while (log_dir_range(self->dir, 1, &lowest, &highest) && lowest && lowest < keep_from) {
        log_dir_name(lowest, name);
        if (unlinkat(self->dir, name, 0))
            break;
    }
    self->number++;
    self->size = 0;
    log_failpoint("rotate after");
}

/* Losing ------------------------------------------------------------------------------------------
 */

static void lose(log_store_t *self, const char *data, size_t size)
{
    while (size > 0) {
        log_line_t line;
        size_t length = (size_t)((const char *)memchr(data, '\n', size) - data);
        if (log_line_read(data, length, &line))
            self->lost_bytes += line.size + !line.partial;
        self->lost_lines++;
        data += length + 1;
        size -= length + 1;
    }
}

static void fail(log_store_t *self, int64_t now)
{
    self->error = errno;
    self->retry_at = now + (int64_t)LOG_STORE_RETRY_MS * 1000000;
    close_file(self); /* whatever it ends with is repaired when it is opened again */
}

/* Writes whole lines, and takes back what was written of a line that did not get in. The number of
 * bytes that are in the file; after a failure fewer than `size`, with errno. */
static size_t write_lines(log_store_t *self, const char *data, size_t size)
{
    size_t done = 0;
    bool is_good = log_failpoint("write before");
    while (is_good && done < size) {
        ssize_t put = write(self->file, data + done, size - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            break;
        done += (size_t)put;
    }
    int error = errno;
    const char *newline = done ? memrchr(data, '\n', done) : NULL;
    size_t whole = newline ? (size_t)(newline - data) + 1 : 0;
    if (whole < done) {
        off_t end = lseek(self->file, 0, SEEK_END);
        (void)!ftruncate(self->file, end - (off_t)(done - whole)); /* or it is repaired later */
    }
    self->size += whole;
    log_failpoint("write after");
    errno = error;
    return whole;
}

/* Lines that were read together have the same time. */
static const char *time_text(log_store_t *self, int64_t time)
{
    if (time != self->time || !self->time_text[0])
        log_line_time(time, self->time_text);
    self->time = time;
    return self->time_text;
}

/* What is missing is said at the place where it is. */
static bool write_marker(log_store_t *self, int64_t now)
{
    char text[MARKER_SIZE], data[MARKER_SIZE + LOG_LINE_PREFIX_MAX];
    int used = 0;
    if (self->died)
        used = snprintf(text, sizeof text,
                        "the log writer was killed: what it held of the output is lost%s",
                        self->lost_lines ? "; " : "");
    if (self->lost_lines)
        used += snprintf(text + used, sizeof text - (size_t)used,
                         "%" PRIu64 " lines (%" PRIu64 " bytes) were lost: %s", self->lost_lines,
                         self->lost_bytes, strerror(self->error));
    size_t size = (size_t)used < sizeof text ? (size_t)used : sizeof text - 1;
    const log_line_t line = {.time = now, .tag = LOG_SHIMD, .text = text, .size = size};
    size = log_line_write(&line, time_text(self, now), data);
    if (write_lines(self, data, size) < size)
        return false;
    self->lost_lines = self->lost_bytes = 0;
    self->died = false;
    return true;
}

/* Writing -----------------------------------------------------------------------------------------
 */

static bool is_ready(log_store_t *self, int64_t now)
{
    if (self->file >= 0 && !log_store_owes(self))
        return true;
    /* A clock that was set back must not hold up the next try. */
    if (now < self->retry_at && self->retry_at - now <= (int64_t)LOG_STORE_RETRY_MS * 1000000)
        return false;
    if (open_file(self) && (!log_store_owes(self) || write_marker(self, now)))
        return true;
    fail(self, now);
    return false;
}

void log_store_flush(log_store_t *self, int64_t now)
{
    size_t done = 0;
    if (!self->used && !log_store_owes(self))
        return;
    if (is_ready(self, now) && self->used) {
        done = write_lines(self, self->buffer, self->used);
        if (done < self->used)
            fail(self, now);
    }
    lose(self, self->buffer + done, self->used - done);
    self->used = 0;
}

void log_store_flush_last(log_store_t *self, int64_t now)
{
    self->retry_at = 0;
    log_store_flush(self, now);
}

void log_store_add(log_store_t *self, const log_line_t *line)
{
    size_t need = LOG_LINE_PREFIX_MAX + line->size + 1;
    uint64_t there = self->size + self->used;
    bool is_full = there > 0 && there + need > self->limits.max_size;
    if (is_full || need > sizeof self->buffer - self->used)
        log_store_flush(self, line->time);
    /* Lines that were dropped took no room. */
    if (is_full && self->file >= 0 && self->size + need > self->limits.max_size)
        rotate(self);
    self->used += log_line_write(line, time_text(self, line->time), self->buffer + self->used);
}

void log_store_open(log_store_t *self)
{
    if (!open_file(self))
        close_file(self); /* the first flush tries again, and says what comes of it */
}

void log_store_close(log_store_t *self)
{
    close_file(self);
    if (self->dir >= 0)
        close(self->dir);
    self->dir = -1;
    self->number = 0; /* another process may go on from here */
}

void log_store_note_death(log_store_t *self)
{
    self->lost_lines = self->lost_bytes = 0; /* as of when this process was last the writer */
    self->died = true;
}

bool log_store_owes(const log_store_t *self)
{
    return self->lost_lines > 0 || self->died;
}

log_store_t *log_store_new(const char *dir, const log_store_limits_t *limits)
{
    log_store_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->dir_path = dir;
    self->limits = *limits;
    self->dir = self->file = -1;
    return self;
}

void log_store_destroy(log_store_t **self_p)
{
    log_store_t *self = *self_p;
    if (!self)
        return;
    log_store_close(self);
    free(self);
    *self_p = NULL;
}
