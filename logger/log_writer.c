/* Reads the output of a process from its pipes into a log. */
#include "logger/log_writer.h"

#include "logger/log_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STREAMS    2
#define INPUT_SIZE 32768 /* bytes read at once */

typedef struct source {
    log_writer_t *writer;
    log_tag_t tag;
    int fd; /* -1 once it has ended */
    log_stream_t stream;
} source_t;

struct log_writer {
    log_store_t *store;
    int64_t now; /* of the lines that are read in this round */
    source_t sources[STREAMS];
    char input[INPUT_SIZE];
};

static int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void on_line(void *arg, const char *text, size_t size, bool partial)
{
    const source_t *source = arg;
    const log_line_t line = {.time = source->writer->now,
                             .tag = source->tag,
                             .partial = partial,
                             .text = text,
                             .size = size};
    log_store_add(source->writer->store, &line);
}

static void end_source(source_t *source)
{
    if (source->fd < 0)
        return;
    log_stream_flush(&source->stream);
    close(source->fd);
    source->fd = -1;
}

static void read_source(source_t *source)
{
    log_writer_t *self = source->writer;
    ssize_t got = read(source->fd, self->input, sizeof self->input);
    if (got > 0)
        log_stream_take(&source->stream, self->input, (size_t)got);
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
        end_source(source);
}

static bool is_open(const log_writer_t *self)
{
    return self->sources[0].fd >= 0 || self->sources[1].fd >= 0;
}

static int timeout_of(const log_writer_t *self)
{
    for (int i = 0; i < STREAMS; i++)
        if (self->sources[i].stream.used)
            return LOG_WRITER_IDLE_MS;
    return log_store_owes(self->store) ? LOG_WRITER_RETRY_MS : -1;
}

static bool write_on(log_writer_t *self, int guard)
{
    while (is_open(self)) {
        struct pollfd items[STREAMS + 1] = {{.fd = self->sources[0].fd, .events = POLLIN},
                                            {.fd = self->sources[1].fd, .events = POLLIN},
                                            {.fd = guard, .events = POLLIN}};
        int ready = poll(items, STREAMS + 1, timeout_of(self));
        if (ready < 0)
            continue; /* EINTR; without memory there is nothing better to do either */
        self->now = clock_now();
        for (int i = 0; i < STREAMS; i++) {
            if (items[i].revents)
                read_source(&self->sources[i]);
            else if (ready == 0)
                log_stream_flush(&self->sources[i].stream);
        }
        log_store_flush(self->store, self->now);
        if (items[STREAMS].revents && is_open(self))
            return false;
    }
    return true;
}

bool log_writer_run(log_writer_t *self, int guard)
{
    log_store_open(self->store);
    bool has_ended = write_on(self, guard);
    if (has_ended)
        log_store_flush_last(self->store, clock_now());
    log_store_close(self->store); /* a guard must not keep what was rotated away */
    return has_ended;
}

log_writer_t *log_writer_new(const log_settings_t *settings, int output, int errors)
{
    const int fds[STREAMS] = {output, errors};
    log_writer_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->store = log_store_new(settings->dir ? settings->dir : "", &settings->limits);
    if (!self->store)
        log_writer_destroy(&self);
    for (int i = 0; self && i < STREAMS; i++) {
        source_t *source = &self->sources[i];
        source->writer = self;
        source->tag = i ? LOG_STDERR : LOG_STDOUT;
        source->fd = fds[i];
        source->stream.emit = on_line;
        source->stream.arg = source;
        (void)fcntl(fds[i], F_SETPIPE_SZ, LOG_WRITER_PIPE_SIZE); /* a smaller one works too */
    }
    if (self && settings->terminal)
        end_source(&self->sources[1]);
    return self;
}

void log_writer_destroy(log_writer_t **self_p)
{
    log_writer_t *self = *self_p;
    if (!self)
        return;
    log_store_destroy(&self->store);
    free(self);
    *self_p = NULL;
}

void log_writer_note_death(log_writer_t *self)
{
    for (int i = 0; i < STREAMS; i++)
        self->sources[i].stream.used = 0;
    log_store_note_death(self->store);
}
