/* Looks over untrusted msgpack before anything is allocated for it: the unpacker of msgpack-c makes
 * room for as many elements as an array announces, which may be four thousand million. */
#include "common/message.h"

#include <endian.h>
#include <string.h>

typedef struct scan {
    const uint8_t *next, *end;
} scan_t;

static bool take_number(scan_t *self, size_t width, uint64_t *ret)
{
    if ((size_t)(self->end - self->next) < width)
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++)
        number = number << 8 | self->next[i];
    self->next += width;
    *ret = number;
    return true;
}

static bool skip(scan_t *self, uint64_t size)
{
    if ((uint64_t)(self->end - self->next) < size)
        return false;
    self->next += size;
    return true;
}

/* A length of `width` bytes, then `extra` bytes, then that many bytes of payload. */
static bool skip_sized(scan_t *self, size_t width, size_t extra)
{
    uint64_t size;
    return take_number(self, width, &size) && skip(self, size + extra);
}

/* Passes one head (and its payload); `children` says how many values follow inside it. Formats as
 * in the msgpack specification. */
static bool take_head(scan_t *self, uint64_t *children)
{
    uint64_t tag;
    *children = 0;
    if (!take_number(self, 1, &tag))
        return false;
    if (tag <= 0x7f || tag >= 0xe0 || tag == 0xc0 || tag == 0xc2 || tag == 0xc3)
        return true; /* small integers, nil, false, true */
    if (tag <= 0x8f)
        return *children = 2 * (tag & 0x0f), true;
    if (tag <= 0x9f)
        return *children = tag & 0x0f, true;
    if (tag <= 0xbf)
        return skip(self, tag & 0x1f);
    if (tag >= 0xc4 && tag <= 0xc6)
        return skip_sized(self, (size_t)1 << (tag - 0xc4), 0);
    if (tag >= 0xc7 && tag <= 0xc9)
        return skip_sized(self, (size_t)1 << (tag - 0xc7), 1);
    if (tag == 0xca || tag == 0xcb)
        return skip(self, tag == 0xca ? 4 : 8);
    if (tag >= 0xcc && tag <= 0xd3)
        return skip(self, (uint64_t)1 << ((tag - 0xcc) & 3));
    if (tag >= 0xd4 && tag <= 0xd8)
        return skip(self, 1 + ((uint64_t)1 << (tag - 0xd4)));
    if (tag >= 0xd9 && tag <= 0xdb)
        return skip_sized(self, (size_t)1 << (tag - 0xd9), 0);
    if (tag == 0xdc || tag == 0xdd)
        return take_number(self, tag == 0xdc ? 2 : 4, children);
    if (tag == 0xde || tag == 0xdf) {
        bool ok = take_number(self, tag == 0xde ? 2 : 4, children);
        *children *= 2;
        return ok;
    }
    return false; /* 0xc1 is never used */
}

status_code_t msg_scan(const void *data, size_t size, status_t *st)
{
    if (size == 0) /* `data` may be NULL, to which not even 0 can be added */
        return status_set(st, STATUS_INVALID_ARGUMENT, "msgpack is cut short or malformed");
    scan_t scan = {.next = data, .end = (const uint8_t *)data + size};
    uint64_t left[MSG_DEPTH_MAX + 1] = {1}; /* values still to come at each depth */
    size_t depth = 0;

    for (;;) {
        while (depth > 0 && left[depth] == 0)
            depth--;
        if (left[depth] == 0)
            break;
        left[depth]--;
        uint64_t children;
        if (!take_head(&scan, &children))
            return status_set(st, STATUS_INVALID_ARGUMENT, "msgpack is cut short or malformed");
        if (children == 0)
            continue;
        if (children > (uint64_t)(scan.end - scan.next))
            return status_set(st, STATUS_INVALID_ARGUMENT,
                              "msgpack announces more elements than it has bytes");
        if (depth == MSG_DEPTH_MAX)
            return status_set(st, STATUS_INVALID_ARGUMENT, "msgpack is nested deeper than %d",
                              MSG_DEPTH_MAX);
        left[++depth] = children;
    }
    if (scan.next != scan.end)
        return status_set(st, STATUS_INVALID_ARGUMENT, "bytes follow the msgpack value");
    return STATUS_OK;
}
