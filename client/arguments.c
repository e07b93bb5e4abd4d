/* Words of the command line that several commands understand. */
#include "client/arguments.h"

#include "common/scalar.h"
#include "common/util.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static char *zone_copy(msgpack_zone *zone, const char *text, size_t size)
{
    char *copy = msgpack_zone_malloc(zone, size + 1);
    if (!copy)
        abort();
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

status_code_t arguments_labels(char *const *words, size_t count, const char *missing,
                               msgpack_zone *zone, msg_labels_t *ret, status_t *st)
{
    ret->count = 0;
    ret->items = msgpack_zone_malloc(zone, (count + 1) * sizeof *ret->items);
    if (!ret->items)
        abort();
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(words[i], "=");
        if (size == 0)
            return status_set(st, STATUS_INVALID_ARGUMENT, "label \"%s\" has no name", words[i]);
        const char *value = words[i][size] ? words[i] + size + 1 : missing;
        /* The last of equal names counts. */
        size_t at = 0;
        while (at < ret->count &&
               (strlen(ret->items[at].key) != size || strncmp(ret->items[at].key, words[i], size)))
            at++;
        ret->items[at].key = zone_copy(zone, words[i], size);
        ret->items[at].value = zone_copy(zone, value, strlen(value));
        if (at == ret->count)
            ret->count++;
    }
    return STATUS_OK;
}

/* RTMIN, RTMIN+n, RTMAX, RTMAX-n; 0 for anything else. */
static int real_time_signal(const char *name)
{
    bool low = !strncasecmp(name, "RTMIN", 5);
    if (!low && strncasecmp(name, "RTMAX", 5))
        return 0;
    int base = low ? SIGRTMIN : SIGRTMAX;
    if (!name[5])
        return base;
    if (name[5] != (low ? '+' : '-') || strspn(name + 6, "0123456789") != strlen(name + 6) ||
        !name[6] || strlen(name + 6) > 2)
        return 0;
    int number = base + (low ? 1 : -1) * atoi(name + 6);
    return number >= SIGRTMIN && number <= SIGRTMAX ? number : 0;
}

static int signal_number(const char *text)
{
    if (strspn(text, "0123456789") == strlen(text))
        return *text && strlen(text) <= 2 ? atoi(text) : 0;
    const char *name = strncasecmp(text, "SIG", 3) ? text : text + 3;
    for (int number = 1; number < NSIG; number++) {
        const char *known = sigabbrev_np(number);
        if (known && !strcasecmp(known, name))
            return number;
    }
    return real_time_signal(name);
}

status_code_t arguments_signal(const char *text, uint32_t *ret, status_t *st)
{
    int number = signal_number(text);
    if (number <= 0 || number > SIGRTMAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "--signal %s: no such signal", text);
    *ret = (uint32_t)number;
    return STATUS_OK;
}

const char *arguments_signal_name(uint32_t number)
{
    return number < NSIG ? sigabbrev_np((int)number) : NULL;
}

status_code_t arguments_bytes(const char *what, const char *text, uint64_t min, uint64_t max,
                              uint64_t *ret, status_t *st)
{
    static const char units[] = "bkmg";
    char *end;
    errno = 0;
    uint64_t value = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    bool good = *text >= '0' && *text <= '9' && !errno;
    const char *unit = good && *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
    int shift = unit ? 10 * (int)(unit - units) : 0;
    good = good && (!*end || (unit && !end[1])) && value <= UINT64_MAX >> shift;
    if (!good || value << shift < min || value << shift > max)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s %s: not a number from %" PRIu64 " to %" PRIu64
                          ", with or without b, k, m or g",
                          what, text, min, max);
    *ret = value << shift;
    return STATUS_OK;
}

status_code_t arguments_moment(const char *what, const char *text, int64_t now, int64_t *ret,
                               status_t *st)
{
    int64_t ago;
    size_t size = strlen(text);
    if (scalar_read_time(text, size, ret))
        return STATUS_OK;
    if (!scalar_read_duration(text, size, &ago) || ago < 0)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s %s: neither a time like 2026-01-31T12:00:00Z, nor seconds since the "
                          "epoch, nor how long ago, like 10m",
                          what, text);
    *ret = now - ago;
    return STATUS_OK;
}

char *arguments_absolute(const char *path)
{
    if (*path == '/')
        return util_strdup(path);
    AUTO_FREE char *cwd = getcwd(NULL, 0);
    return cwd ? util_format("%s/%s", cwd, path) : util_strdup(path);
}
