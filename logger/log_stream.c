/* Cuts what a process writes into lines. */
#include "logger/log_stream.h"

#include <string.h>

static void emit_pending(log_stream_t *self, bool partial)
{
    self->emit(self->arg, self->pending, self->used, partial);
    self->used = 0;
}

static void keep(log_stream_t *self, const char *data, size_t size)
{
    memcpy(self->pending + self->used, data, size);
    self->used += size;
}

void log_stream_take(log_stream_t *self, const char *data, size_t size)
{
    while (size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t length = newline ? (size_t)(newline - data) : size;
        size_t room = sizeof self->pending - self->used;
        if (length > room) { /* a full buffer waits: its newline may be the next byte */
            keep(self, data, room);
            emit_pending(self, true);
            data += room;
            size -= room;
            continue;
        }
        if (newline && self->used == 0) {
            self->emit(self->arg, data, length, false);
        } else {
            keep(self, data, length);
            if (newline)
                emit_pending(self, false);
        }
        length += newline != NULL;
        data += length;
        size -= length;
    }
}

void log_stream_flush(log_stream_t *self)
{
    if (self->used)
        emit_pending(self, true);
}
