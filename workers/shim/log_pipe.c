/* The `log` fifo of a bundle. */
#include "workers/shim/log_pipe.h"

#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define READS_PER_WAKEUP 4 /* so that a shim that never stops talking does not hold the loop */

struct log_pipe {
    io_set_t *io;
    int fd;
    char *label;
    size_t used;
    char line[LOG_PIPE_LINE_MAX + 1];
};

static void put_line(log_pipe_t *self)
{
    self->line[self->used] = '\0';
    for (size_t i = 0; i < self->used; i++)
        if ((unsigned char)self->line[i] < 0x20)
            self->line[i] = ' ';
    if (self->used)
        log_info("%s: %s", self->label, self->line);
    self->used = 0;
}

static void take(log_pipe_t *self, const char *chunk, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (chunk[i] == '\n') {
            put_line(self);
            continue;
        }
        if (self->used == LOG_PIPE_LINE_MAX)
            put_line(self);
        self->line[self->used++] = chunk[i];
    }
}

static void on_readable(void *arg, int fd, uint32_t events)
{
    log_pipe_t *self = arg;
    char chunk[4096];
    (void)events;
    for (int i = 0; i < READS_PER_WAKEUP; i++) {
        ssize_t size = read(fd, chunk, sizeof chunk);
        if (size <= 0)
            return;
        take(self, chunk, (size_t)size);
    }
}

static int open_fifo(const char *bundle, status_t *st)
{
    struct stat info;
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || (mkfifoat(dir, "log", 0700) && errno != EEXIST)) {
        status_errno(st, errno, "make %s/log", bundle);
        return -1;
    }
    AUTO_CLOSE int fd = openat(dir, "log", O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        status_errno(st, errno, "open %s/log", bundle);
        return -1;
    }
    if (!S_ISFIFO(info.st_mode)) {
        status_set(st, STATUS_INTERNAL, "open %s/log: it is not a fifo", bundle);
        return -1;
    }
    int kept = fd;
    fd = -1;
    return kept;
}

log_pipe_t *log_pipe_open(io_set_t *io, const char *bundle, const char *label, status_t *st)
{
    int fd = open_fifo(bundle, st);
    if (fd < 0)
        return NULL;
    log_pipe_t *self = zmalloc(sizeof *self);
    self->io = io;
    self->fd = fd;
    self->label = util_strdup(label);
    if (io_set_add(io, fd, EPOLLIN, on_readable, self)) {
        status_errno(st, errno, "watch %s/log", bundle);
        log_pipe_destroy(&self);
    }
    return self;
}

void log_pipe_destroy(log_pipe_t **self_p)
{
    log_pipe_t *self = *self_p;
    if (!self)
        return;
    put_line(self);
    io_set_remove(self->io, self->fd);
    util_close(&self->fd);
    free(self->label);
    free(self);
    *self_p = NULL;
}
