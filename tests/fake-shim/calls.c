/* What the manager asked of this shim. */
#include "tests/fake-shim/calls.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_SIZE 1024

static int record = -1;

void calls_open(const spec_t *spec)
{
    const char *path = spec_setting(spec, "record");
    if (path)
        record = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

void calls_note(const char *format, ...)
{
    char line[LINE_MAX_SIZE];
    va_list args;
    if (record < 0)
        return;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (size > (int)sizeof line - 2)
        size = (int)sizeof line - 2;
    line[size] = '\n';
    if (write(record, line, (size_t)size + 1) < 0)
        perror("record");
}
