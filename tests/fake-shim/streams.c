/* Standard input, output and error of a container's process. */
#include "tests/fake-shim/streams.h"

#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define FIFO_RETRY_US (5 * 1000)
#define COPY_SIZE     (32 * 1024)

/* Files ------------------------------------------------------------------------------------------
 */

static bool is_fifo(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
}

static void set_blocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* Without a reader a real shim waits in open(2), with its lock held. So do we. */
static status_code_t open_output_fifo(const char *path, int64_t timeout_ms, int *ret, int *reader,
                                      status_t *st)
{
    int64_t until = util_monotonic_us() + timeout_ms * 1000;
    while ((*ret = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
        if (errno != ENXIO)
            return status_set(st, STATUS_UNKNOWN, "open %s: %s: unknown", path, strerror(errno));
        if (util_monotonic_us() >= until)
            return status_set(st, STATUS_DEADLINE_EXCEEDED,
                              "failed to start io pipe copy: open %s: context deadline exceeded",
                              path);
        usleep(FIFO_RETRY_US);
    }
    set_blocking(*ret);
    *reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return STATUS_OK;
}

static void make_parents(const char *path)
{
    AUTO_FREE char *copy = util_strdup(path);
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(copy, 0755);
        *slash = '/';
    }
}

static status_code_t open_output(const char *path, int64_t timeout_ms, int *ret, int *reader,
                                 status_t *st)
{
    int flags = O_WRONLY | O_APPEND | O_CLOEXEC;
    if (*path && is_fifo(path))
        return open_output_fifo(path, timeout_ms, ret, reader, st);
    if (strncmp(path, "file://", 7) == 0) {
        path += 7;
        make_parents(path);
        flags |= O_CREAT;
    } else if (strstr(path, "://")) {
        return status_set(st, STATUS_UNKNOWN, "unknown log URI %s: unknown", path);
    }
    *ret = open(*path ? path : "/dev/null", flags, 0644);
    if (*ret < 0)
        return status_set(st, STATUS_UNKNOWN, "open %s: %s: unknown", path, strerror(errno));
    return STATUS_OK;
}

static status_code_t open_input(streams_t *self, const char *path, int *ret, status_t *st)
{
    *ret = open(*path ? path : "/dev/null", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (*ret < 0)
        return status_set(st, STATUS_UNKNOWN, "failed to open stdin fifo %s: %s: unknown", path,
                          strerror(errno));
    if (*path && is_fifo(path))
        self->stdin_writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    set_blocking(*ret);
    return STATUS_OK;
}

/* Terminals --------------------------------------------------------------------------------------
 */

typedef struct copy {
    int from, to;
} copy_t;

static void *copy_bytes(void *arg)
{
    copy_t *self = arg;
    char bytes[COPY_SIZE];
    ssize_t count;
    while ((count = read(self->from, bytes, sizeof bytes)) > 0)
        for (ssize_t sent = 0, more; sent < count; sent += more)
            if ((more = write(self->to, bytes + sent, (size_t)(count - sent))) < 0)
                break;
    close(self->from);
    close(self->to);
    free(self);
    return NULL;
}

/* The thread owns both descriptors. */
static void start_copy(int from, int to)
{
    copy_t *copy = zmalloc(sizeof *copy);
    *copy = (copy_t){from, to};
    pthread_t thread;
    pthread_create(&thread, NULL, copy_bytes, copy);
    pthread_detach(thread);
}

static status_code_t open_terminal(streams_t *self, const char *in, const char *out,
                                   int64_t timeout_ms, status_t *st)
{
    int output = -1, input = -1;
    if (open_output(out, timeout_ms, &output, &self->readers[0], st))
        return st->code;
    self->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (self->master < 0 || grantpt(self->master) || unlockpt(self->master)) {
        close(output);
        return status_set(st, STATUS_UNKNOWN, "make a terminal: %s: unknown", strerror(errno));
    }
    int slave = open(ptsname(self->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    for (size_t i = 0; i < 3; i++)
        self->child[i] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    close(slave);
    if (*in && open_input(self, in, &input, st) == STATUS_OK)
        start_copy(input, fcntl(self->master, F_DUPFD_CLOEXEC, 3));
    start_copy(fcntl(self->master, F_DUPFD_CLOEXEC, 3), output);
    return STATUS_OK;
}

/* All three --------------------------------------------------------------------------------------
 */

status_code_t streams_open(streams_t *self, const char *in, const char *out, const char *err,
                           bool is_terminal, int64_t timeout_ms, status_t *st)
{
    *self = STREAMS_NONE;
    bool is_uri = strncmp(out, "file://", 7) == 0;
    if (is_terminal)
        return open_terminal(self, in, out, timeout_ms, st);
    if (!*out != !*err && !is_uri)
        return status_set(st, STATUS_UNKNOWN, "open : no such file or directory: unknown");
    if (open_input(self, in, &self->child[0], st) ||
        open_output(out, timeout_ms, &self->child[1], &self->readers[0], st) ||
        open_output(is_uri ? out : err, timeout_ms, &self->child[2], &self->readers[1], st)) {
        streams_close(self);
        return st->code;
    }
    return STATUS_OK;
}

void streams_close_child(streams_t *self)
{
    for (size_t i = 0; i < 3; i++)
        util_close(&self->child[i]);
}

void streams_close_stdin(streams_t *self)
{
    util_close(&self->stdin_writer);
}

void streams_close(streams_t *self)
{
    streams_close_child(self);
    streams_close_stdin(self);
    util_close(&self->readers[0]);
    util_close(&self->readers[1]);
    util_close(&self->master);
}

void streams_resize(const streams_t *self, uint32_t width, uint32_t height)
{
    struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
    if (self->master >= 0)
        ioctl(self->master, TIOCSWINSZ, &size);
}
