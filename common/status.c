/* Outcomes as a gRPC status code and a sentence. */
#include "common/status.h"

#include "common/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A reply whose sentence is not UTF-8 could be read by nobody: a sequence that was cut is dropped.
 */
static void trim_partial_utf8(char *text)
{
    size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (length - (start - 1) < need)
        text[start - 1] = '\0';
}

__attribute__((format(printf, 2, 0))) static void write_text(status_t *st, const char *format,
                                                             va_list args)
{
    int wanted = vsnprintf(st->text, sizeof st->text, format, args);
    if (wanted >= (int)sizeof st->text)
        trim_partial_utf8(st->text);
    utf8_repair(st->text); /* names of files, and what shims print, may be any bytes */
}

static void append_text(status_t *st, const char *text)
{
    size_t used = strlen(st->text);
    int wanted = snprintf(st->text + used, sizeof st->text - used, ": %s", text);
    if (wanted >= (int)(sizeof st->text - used))
        trim_partial_utf8(st->text);
}

status_code_t status_set(status_t *st, status_code_t code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_text(st, format, args);
    va_end(args);
    st->code = code;
    return code;
}

static status_code_t code_of_errno(int error_number)
{
    switch (error_number) {
    case EINVAL:
    case ENAMETOOLONG:
    case EILSEQ:
        return STATUS_INVALID_ARGUMENT;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case EFBIG:
        return STATUS_RESOURCE_EXHAUSTED;
    case EBUSY:
    case ENOTEMPTY:
    case ETXTBSY:
        return STATUS_FAILED_PRECONDITION;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
        return STATUS_UNAVAILABLE;
    case ETIMEDOUT:
        return STATUS_DEADLINE_EXCEEDED;
    case ECANCELED:
        return STATUS_CANCELLED;
    case ENOSYS:
    case EOPNOTSUPP:
        return STATUS_UNIMPLEMENTED;
    default:
        return STATUS_INTERNAL;
    }
}

status_code_t status_errno(status_t *st, int error_number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_text(st, format, args);
    va_end(args);
    append_text(st, strerror(error_number));
    st->code = code_of_errno(error_number);
    return st->code;
}

status_code_t status_wrap(status_t *st, const char *format, ...)
{
    char inner[STATUS_TEXT_SIZE];
    memcpy(inner, st->text, sizeof inner);
    va_list args;
    va_start(args, format);
    write_text(st, format, args);
    va_end(args);
    append_text(st, inner);
    return st->code;
}

void status_clear(status_t *st)
{
    st->code = STATUS_OK;
    st->text[0] = '\0';
}

const char *status_name(status_code_t code)
{
    switch (code) {
#define STATUS_NAME(name, number)                                                                  \
    case STATUS_##name:                                                                            \
        return #name;
        STATUS_CODES(STATUS_NAME)
#undef STATUS_NAME
    }
    return "UNKNOWN";
}

bool status_is_uncertain(status_code_t code)
{
    switch (code) {
    case STATUS_CANCELLED:
    case STATUS_UNKNOWN:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_INTERNAL:
    case STATUS_UNAVAILABLE:
    case STATUS_DATA_LOSS:
        return true;
    default:
        return false;
    }
}
