/* Reads the files of a log in order, while they are written and rotated. */
#include "client/log_reader.h"

#include "client/log_tail.h"
#include "common/util.h"
#include "logger/log_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define BUFFER_SIZE 65536 /* holds any line */

struct log_reader {
    char *path;
    int dir, file;      /* -1 while not open */
    uint64_t number;    /* of the file, or of the first one wanted */
    off_t offset;       /* in the file, of the first line that is not in the buffer */
    bool is_superseded; /* the file has a successor, and does not change any more */
    uint64_t missed;
    size_t start, end; /* whole lines in the buffer */
    char buffer[BUFFER_SIZE];
};

static status_code_t fail(const log_reader_t *self, status_t *st)
{
    int error = errno;
    if (error == EACCES || error == EPERM)
        return status_set(st, STATUS_PERMISSION_DENIED, "read the log %s: only root may",
                          self->path);
    return status_errno(st, error, "read the log %s", self->path);
}

static status_code_t open_dir(log_reader_t *self, status_t *st)
{
    if (self->dir >= 0)
        return STATUS_OK;
    self->dir = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->dir < 0 && errno != ENOENT)
        return fail(self, st);
    return STATUS_OK;
}

log_reader_t *log_reader_new(const char *dir, status_t *st)
{
    log_reader_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->path = util_strdup(dir);
    self->dir = self->file = -1;
    self->number = 1;
    if (open_dir(self, st))
        log_reader_destroy(&self);
    return self;
}

void log_reader_destroy(log_reader_t **self_p)
{
    log_reader_t *self = *self_p;
    if (!self)
        return;
    util_close(&self->file);
    util_close(&self->dir);
    free(self->path);
    free(self);
    *self_p = NULL;
}

status_code_t log_reader_tail(log_reader_t *self, uint64_t lines, status_t *st)
{
    if (self->dir >= 0 && !log_tail_find(self->dir, lines, &self->number, &self->offset))
        return fail(self, st);
    return STATUS_OK;
}

/* Opens the first file there is from `number` on. False when there is none, or with a status. */
static bool open_file(log_reader_t *self, status_t *st)
{
    for (;;) {
        char name[LOG_DIR_NAME_SIZE];
        uint64_t found, highest;
        if (!log_dir_range(self->dir, self->number, &found, &highest)) {
            fail(self, st);
            return false;
        }
        if (!found)
            return false;
        log_dir_name(found, name);
        self->file = openat(self->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (self->file < 0 && errno == ENOENT)
            continue; /* rotated away just now */
        if (self->file < 0) {
            fail(self, st);
            return false;
        }
        if (found != self->number) {
            self->missed += self->number > 1 ? found - self->number : 0;
            self->offset = 0;
        }
        self->number = found;
        self->is_superseded = false;
        return true;
    }
}

/* True when the file may have more than was read before: either it had a successor even then, and
 * the next one is begun, or it has one now, so that what comes next is its last. */
static bool go_on(log_reader_t *self, status_t *st)
{
    uint64_t next, highest;
    if (self->is_superseded) {
        util_close(&self->file);
        self->number++;
        self->offset = 0;
        return true;
    }
    if (!log_dir_range(self->dir, self->number + 1, &next, &highest)) {
        fail(self, st);
        return false;
    }
    self->is_superseded = next != 0;
    return self->is_superseded;
}

/* A file that somebody emptied is read from its beginning. */
static void check_size(log_reader_t *self)
{
    struct stat info;
    if (!fstat(self->file, &info) && info.st_size < self->offset)
        self->offset = 0;
}

/* Lines are read again from their first byte until they are whole: what stands behind the last
 * newline may be taken back by the writer. */
static bool fill(log_reader_t *self, status_t *st)
{
    if (open_dir(self, st) || self->dir < 0)
        return false;
    for (;;) {
        if (self->file < 0 && !open_file(self, st))
            return false;
        ssize_t got = pread(self->file, self->buffer, sizeof self->buffer, self->offset);
        if (got < 0) {
            fail(self, st);
            return false;
        }
        const char *newline = got ? memrchr(self->buffer, '\n', (size_t)got) : NULL;
        self->start = 0;
        self->end = newline ? (size_t)(newline - self->buffer) + 1 : 0;
        self->offset += (off_t)self->end;
        if (self->end)
            return true;
        if (got == sizeof self->buffer)
            self->offset += got; /* no line of ours is as long */
        else if (!go_on(self, st)) {
            check_size(self);
            return false;
        }
    }
}

bool log_reader_next(log_reader_t *self, log_line_t *ret, status_t *st)
{
    status_clear(st);
    for (;;) {
        if (self->start == self->end && !fill(self, st))
            return false;
        const char *line = self->buffer + self->start;
        size_t size = (size_t)((const char *)memchr(line, '\n', self->end - self->start) - line);
        self->start += size + 1;
        if (log_line_read(line, size, ret))
            return true;
    }
}

uint64_t log_reader_take_missed(log_reader_t *self)
{
    uint64_t missed = self->missed;
    self->missed = 0;
    return missed;
}

int log_reader_dir(const log_reader_t *self)
{
    return self->dir;
}

bool log_reader_is_written(const log_reader_t *self)
{
    if (self->dir < 0)
        return false;
    if (flock(self->dir, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK;
    flock(self->dir, LOCK_UN);
    return false;
}
