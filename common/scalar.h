/* Numbers, durations and times as people write them. */
#ifndef SHIMD_SCALAR_H
#define SHIMD_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The readers take all of `size` bytes or answer false; `*ret` is then undefined. They know no
 * locale. */

/* 7, -7, 0.25. Whole numbers of 64 bits are exact. */
bool scalar_read_number(const char *text, size_t size, long double *ret);

/* 1h30m, 1.5s, 500ms, as Go writes them; a number without a unit is seconds. In nanoseconds. */
bool scalar_read_duration(const char *text, size_t size, int64_t *ret);

/* RFC 3339 (2026-01-31T12:00:00.5+01:00), UTC where it ends with neither Z nor an offset; its date
 * alone, which is the midnight; seconds since the epoch; a number too great to be those is
 * nanoseconds, as the wire has them. In nanoseconds since the epoch. */
bool scalar_read_time(const char *text, size_t size, int64_t *ret);

/* The same, or a duration from `now` on, -10m being ten minutes before it. */
bool scalar_read_time_from(const char *text, size_t size, int64_t now, int64_t *ret);

/* A time in UTC, with `middle` between date and hour and `end` behind it, as many digits of the
 * second as it has. 0 is Go's zero time, the year 1. */
#define SCALAR_TIME_SIZE 64
void scalar_print_time(int64_t ns, const char *middle, const char *end,
                       char text[SCALAR_TIME_SIZE]);

#endif
