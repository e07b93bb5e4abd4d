/* Numbers, durations and times as people write them. */
#include "common/scalar.h"

#include "common/util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND      1000000000
#define SECONDS_MAX (INT64_MAX / SECOND) /* that nanoseconds since the epoch can tell */

typedef struct reader {
    const char *at, *end;
} reader_t;

static reader_t reader_of(const char *text, size_t size)
{
    return (reader_t){.at = text, .end = text + size};
}

static bool is_done(const reader_t *self)
{
    return self->at == self->end;
}

static bool take(reader_t *self, char wanted)
{
    if (is_done(self) || *self->at != wanted)
        return false;
    self->at++;
    return true;
}

static bool is_digit(const reader_t *self)
{
    return !is_done(self) && *self->at >= '0' && *self->at <= '9';
}

/* One or more digits, counted in `*ret_count`. */
static bool take_digits(reader_t *self, long double *ret, int *ret_count)
{
    const char *start = self->at;
    for (*ret = 0; is_digit(self); self->at++)
        *ret = *ret * 10 + (*self->at - '0');
    *ret_count = (int)(self->at - start);
    return *ret_count > 0;
}

/* Digits, and a point with more of them. */
static bool take_decimal(reader_t *self, long double *ret)
{
    long double fraction;
    int count;
    if (!take_digits(self, ret, &count))
        return false;
    if (!take(self, '.'))
        return true;
    if (!take_digits(self, &fraction, &count))
        return false;
    *ret += fraction / powl(10, (long double)count);
    return true;
}

/* -1 after a minus sign. */
static int take_sign(reader_t *self)
{
    if (take(self, '-'))
        return -1;
    take(self, '+');
    return 1;
}

bool scalar_read_number(const char *text, size_t size, long double *ret)
{
    reader_t reader = reader_of(text, size);
    int sign = take_sign(&reader);
    if (!take_decimal(&reader, ret) || !is_done(&reader) || !isfinite(*ret))
        return false;
    *ret *= sign;
    return true;
}

static bool to_ns(long double ns, int64_t *ret)
{
    if (!(fabsl(ns) < (long double)INT64_MAX))
        return false;
    *ret = (int64_t)roundl(ns);
    return true;
}

/* Durations -------------------------------------------------------------------------------------
 */

static long double take_unit(reader_t *self)
{
    static const struct {
        const char *name;
        long double ns;
    } units[] = {{"ns", 1}, {"us", 1e3L}, {"ms", 1e6L}, {"s", 1e9L}, {"m", 60e9L}, {"h", 3600e9L}};
    if (is_done(self))
        return SECOND;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        size_t size = strlen(units[i].name);
        if ((size_t)(self->end - self->at) < size || memcmp(self->at, units[i].name, size))
            continue;
        self->at += size;
        return units[i].ns;
    }
    return 0;
}

bool scalar_read_duration(const char *text, size_t size, int64_t *ret)
{
    reader_t reader = reader_of(text, size);
    int sign = take_sign(&reader);
    long double sum = 0;
    do {
        long double number;
        if (!take_decimal(&reader, &number))
            return false;
        long double unit = take_unit(&reader);
        if (unit == 0)
            return false;
        sum += number * unit;
    } while (!is_done(&reader));
    return to_ns(sign * sum, ret);
}

/* Times -----------------------------------------------------------------------------------------
 */

/* Exactly `width` digits. */
static bool take_fixed(reader_t *self, int width, int *ret)
{
    for (*ret = 0; width > 0; width--, self->at++) {
        if (!is_digit(self))
            return false;
        *ret = *ret * 10 + (*self->at - '0');
    }
    return true;
}

static bool take_date(reader_t *self, struct tm *ret)
{
    *ret = (struct tm){0};
    if (!take_fixed(self, 4, &ret->tm_year) || !take(self, '-') ||
        !take_fixed(self, 2, &ret->tm_mon) || !take(self, '-') ||
        !take_fixed(self, 2, &ret->tm_mday))
        return false;
    ret->tm_year -= 1900;
    ret->tm_mon -= 1;
    /* timegm turns the 31st of February into a day of March. */
    struct tm same = *ret;
    return timegm(&same) != -1 && same.tm_mon == ret->tm_mon && same.tm_mday == ret->tm_mday;
}

static bool take_hour(reader_t *self, struct tm *date, long double *fraction)
{
    if (!take_fixed(self, 2, &date->tm_hour) || !take(self, ':') ||
        !take_fixed(self, 2, &date->tm_min) || !take(self, ':') ||
        !take_fixed(self, 2, &date->tm_sec))
        return false;
    int count;
    if (take(self, '.')) {
        if (!take_digits(self, fraction, &count))
            return false;
        *fraction /= powl(10, (long double)count);
    }
    return date->tm_hour < 24 && date->tm_min < 60 && date->tm_sec <= 60;
}

/* Seconds east of UTC. */
static bool take_offset(reader_t *self, int *ret)
{
    int hours, minutes;
    *ret = 0;
    if (is_done(self) || take(self, 'Z'))
        return true;
    if (*self->at != '+' && *self->at != '-')
        return false;
    int sign = take_sign(self);
    if (!take_fixed(self, 2, &hours) || !take(self, ':') || !take_fixed(self, 2, &minutes))
        return false;
    *ret = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

static bool read_rfc3339(reader_t reader, int64_t *ret)
{
    struct tm date;
    long double fraction = 0;
    int offset = 0;
    if (!take_date(&reader, &date))
        return false;
    if (!is_done(&reader) && (!take(&reader, 'T') || !take_hour(&reader, &date, &fraction) ||
                              !take_offset(&reader, &offset)))
        return false;
    long double seconds = (long double)timegm(&date) - offset;
    return is_done(&reader) && to_ns((seconds + fraction) * SECOND, ret);
}

bool scalar_read_time(const char *text, size_t size, int64_t *ret)
{
    long double number;
    if (scalar_read_number(text, size, &number))
        return to_ns(fabsl(number) <= SECONDS_MAX ? number * SECOND : number, ret);
    return read_rfc3339(reader_of(text, size), ret);
}

bool scalar_read_time_from(const char *text, size_t size, int64_t now, int64_t *ret)
{
    int64_t duration;
    long double number;
    if (scalar_read_time(text, size, ret))
        return true;
    return !scalar_read_number(text, size, &number) &&
           scalar_read_duration(text, size, &duration) &&
           !__builtin_add_overflow(now, duration, ret);
}

/* Printing --------------------------------------------------------------------------------------
 */

/* ".25" for a quarter of a second, nothing for a whole one. */
static void fraction_text(int64_t ns, char text[16])
{
    snprintf(text, 16, ".%09d", (int)ns);
    for (size_t end = 9; text[end] == '0' || text[end] == '.'; end--) {
        text[end] = '\0';
        if (end == 0)
            break;
    }
}

void scalar_print_time(int64_t ns, const char *middle, const char *end, char text[SCALAR_TIME_SIZE])
{
    if (ns == 0) {
        snprintf(text, SCALAR_TIME_SIZE, "0001-01-01%s00:00:00%s", middle, end);
        return;
    }
    int64_t rest = ns % SECOND;
    time_t seconds = (time_t)(ns / SECOND - (rest < 0));
    char digits[16], day[32], hour[16];
    struct tm utc;
    fraction_text(rest < 0 ? rest + SECOND : rest, digits);
    gmtime_r(&seconds, &utc);
    strftime(day, sizeof day, "%Y-%m-%d", &utc);
    strftime(hour, sizeof hour, "%H:%M:%S", &utc);
    snprintf(text, SCALAR_TIME_SIZE, "%s%s%s%s%s", day, middle, hour, digits, end);
}
