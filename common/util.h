/* Small helpers that every process uses: ownership macros, memory that cannot fail, time. */
#ifndef SHIMD_UTIL_H
#define SHIMD_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* `AUTO(zmsg) reply = ...` is destroyed by zmsg_destroy(&reply) when it leaves its scope. */
#define AUTO(type) __attribute__((cleanup(type##_destroy))) type##_t *

/* Moves a pointer out of an AUTO variable: the caller owns it from here on. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/* `AUTO_FREE char *x` and `AUTO_CLOSE int fd = -1` release memory or a descriptor at scope end. */
#define AUTO_FREE  __attribute__((cleanup(util_free_)))
#define AUTO_CLOSE __attribute__((cleanup(util_close_)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline void util_free_(void *pointer)
{
    free(*(void **)pointer);
}

static inline void util_close_(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* A copy of `text`, or NULL for NULL. Aborts when memory is short: for small objects only, sizes
 * that come from outside are limited before. The caller frees. */
char *util_strdup(const char *text);

/* printf into fresh memory; aborts when memory is short. The caller frees. */
char *util_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A copy with a backslash before each character that is in `special`. The caller frees. */
char *util_backslash(const char *text, const char *special);

/* What overlayfs reads as something else in the paths of its options. */
#define UTIL_OVERLAY_SPECIAL "\\,:"

/* Wall clock in nanoseconds and milliseconds since the epoch; monotonic clock in microseconds. */
int64_t util_now_ns(void);
int64_t util_now_ms(void);
int64_t util_monotonic_us(void);

/* Closes `*fd` if it is open and sets it to -1. */
void util_close(int *fd);

/* Writes a random (version 4) UUID in its 36-character text form. */
#define UTIL_UUID_SIZE 37
void util_uuid(char text[UTIL_UUID_SIZE]);

/* Lower-case hexadecimal of `size` bytes into `text`, which holds 2 * size + 1. */
void util_hex(const void *bytes, size_t size, char *text);

#endif
