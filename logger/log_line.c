/* One line of a log file. */
#include "logger/log_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND 1000000000
#define TIME_LENGTH   (LOG_LINE_TIME_SIZE - 1)

static const char *const names[] = {
    [LOG_STDOUT] = "stdout", [LOG_STDERR] = "stderr", [LOG_SHIMD] = "shimd"};

const char *log_tag_name(log_tag_t tag)
{
    return names[tag];
}

void log_line_time(int64_t time, char text[LOG_LINE_TIME_SIZE])
{
    time_t seconds = time / NS_PER_SECOND;
    struct tm parts;
    char whole[LOG_LINE_TIME_SIZE];
    gmtime_r(&seconds, &parts);
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, LOG_LINE_TIME_SIZE, "%.19s.%09uZ", whole, (unsigned)(time % NS_PER_SECOND));
}

size_t log_line_write(const log_line_t *line, const char time[LOG_LINE_TIME_SIZE], char *to)
{
    char *at = mempcpy(to, time, TIME_LENGTH);
    *at++ = ' ';
    at = mempcpy(at, names[line->tag], strlen(names[line->tag]));
    at = mempcpy(at, line->partial ? " P " : " F ", 3);
    at = mempcpy(at, line->text, line->size);
    *at++ = '\n';
    return (size_t)(at - to);
}

/* Digits where a 'd' stands, and everything else as it is. */
static bool has_form(const char *data, const char *form)
{
    for (; *form; form++, data++)
        if (*form == 'd' ? *data < '0' || *data > '9' : *data != *form)
            return false;
    return true;
}

static int number(const char *digits, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

static bool read_time(const char *data, size_t size, int64_t *ret)
{
    if (size < TIME_LENGTH || !has_form(data, "dddd-dd-ddTdd:dd:dd.dddddddddZ"))
        return false;
    struct tm parts = {.tm_year = number(data, 4) - 1900,
                       .tm_mon = number(data + 5, 2) - 1,
                       .tm_mday = number(data + 8, 2),
                       .tm_hour = number(data + 11, 2),
                       .tm_min = number(data + 14, 2),
                       .tm_sec = number(data + 17, 2)};
    *ret = (int64_t)timegm(&parts) * NS_PER_SECOND + number(data + 20, 9);
    return true;
}

bool log_line_read(const char *data, size_t size, log_line_t *ret)
{
    if (!read_time(data, size, &ret->time))
        return false;
    const char *at = data + TIME_LENGTH, *end = data + size;
    for (log_tag_t tag = LOG_STDOUT; tag <= LOG_SHIMD; tag++) {
        size_t length = strlen(names[tag]);
        if ((size_t)(end - at) < length + 4 || *at != ' ' || memcmp(at + 1, names[tag], length))
            continue;
        const char *kind = at + 1 + length;
        if (kind[0] != ' ' || (kind[1] != 'F' && kind[1] != 'P') || kind[2] != ' ')
            return false;
        ret->tag = tag;
        ret->partial = kind[1] == 'P';
        ret->text = kind + 3;
        ret->size = (size_t)(end - ret->text);
        return true;
    }
    return false;
}
