/* Texts that come from the command line: checked before they enter a spec, quoted when refused. */
#include "client/oci/oci_text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

/* Bytes of a refused value that the sentence shows. */
#define SHOWN_MAX 100

static bool is_utf8(const char *text, size_t size)
{
    json_auto_t *probe = json_stringn(text, size);
    return probe;
}

/* Copies the value's beginning, fit to be shown: the sentence travels as UTF-8 on one line. */
static void shorten(const char *value, char shown[SHOWN_MAX + 4])
{
    size_t size = strnlen(value, SHOWN_MAX + 1);
    const char *dots = size > SHOWN_MAX ? "..." : "";
    if (size > SHOWN_MAX)
        size = SHOWN_MAX;
    /* The cut may have split a character. */
    while (*dots && size > SHOWN_MAX - 4 && !is_utf8(value, size))
        size--;
    bool utf8 = is_utf8(value, size);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)value[i];
        shown[i] = byte < ' ' || byte == 127 || (byte > 127 && !utf8) ? '?' : value[i];
    }
    snprintf(shown + size, 4, "%s", dots);
}

status_code_t oci_text_refuse(status_t *st, const char *flag, const char *value,
                              const char *reason_format, ...)
{
    char shown[SHOWN_MAX + 4];
    shorten(value, shown);
    va_list args;
    va_start(args, reason_format);
    AUTO_FREE char *reason = NULL;
    if (vasprintf(&reason, reason_format, args) < 0)
        abort();
    va_end(args);
    return status_set(st, STATUS_INVALID_ARGUMENT, "%s %s: %s", flag, *shown ? shown : "''",
                      reason);
}

status_code_t oci_text_check(const char *flag, const char *value, size_t size_max, status_t *st)
{
    size_t size = strlen(value);
    if (size > size_max)
        return oci_text_refuse(st, flag, value, "%zu bytes long, limit %zu", size, size_max);
    if (!is_utf8(value, size))
        return oci_text_refuse(st, flag, value, "not in UTF-8");
    return STATUS_OK;
}

status_code_t oci_text_check_path(const char *flag, const char *value, status_t *st)
{
    if (value[0] != '/')
        return oci_text_refuse(st, flag, value, "not an absolute path");
    return oci_text_check(flag, value, OCI_TEXT_PATH_MAX, st);
}

status_code_t oci_text_check_list(const char *flag, char *const *values, size_t size_max,
                                  status_t *st)
{
    for (size_t i = 0; values && values[i]; i++) {
        if (i >= OCI_TEXT_LIST_MAX)
            return status_set(st, STATUS_INVALID_ARGUMENT, "%s is given more than %d times", flag,
                              OCI_TEXT_LIST_MAX);
        if (oci_text_check(flag, values[i], size_max, st))
            return st->code;
    }
    return STATUS_OK;
}

bool oci_text_is_number(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (!isdigit((unsigned char)*text))
            return false;
    return true;
}

int oci_text_to_number(const char *text, uint64_t max, uint64_t *ret)
{
    if (!oci_text_is_number(text))
        return -1;
    uint64_t number = 0;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > max || number > (max - digit) / 10)
            return -1;
        number = number * 10 + digit;
    }
    *ret = number;
    return 0;
}
