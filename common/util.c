/* Small helpers that every process uses. */
#include "common/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uuid/uuid.h>

char *util_strdup(const char *text)
{
    if (!text)
        return NULL;
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

char *util_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    return text;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

char *util_backslash(const char *text, const char *special)
{
    char *copy = malloc(2 * strlen(text) + 1), *to = copy;
    if (!copy)
        abort();
    for (; *text; text++) {
        if (strchr(special, *text))
            *to++ = '\\';
        *to++ = *text;
    }
    *to = '\0';
    return copy;
}

int64_t util_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t util_now_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t util_monotonic_us(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000;
}

void util_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void util_uuid(char text[UTIL_UUID_SIZE])
{
    uuid_t uuid;
    uuid_generate_random(uuid);
    uuid_unparse_lower(uuid, text);
}

void util_hex(const void *bytes, size_t size, char *text)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", byte[i]);
}
