/* Failpoints of the log writer. */
#include "logger/log_failpoint.h"

#include "common/failpoint_term.h"

#include <errno.h>
#include <stdarg.h>

static bool hit(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool hit(const char *format, ...)
{
    failpoint_term_t term;
    va_list args;
    va_start(args, format);
    bool fails = failpoint_choose(&term, format, args) && failpoint_act(&term);
    va_end(args);
    return !fails;
}

bool log_failpoint(const char *name)
{
    if (!failpoint_directory() || hit("%s", name))
        return true;
    errno = EIO;
    return false;
}
