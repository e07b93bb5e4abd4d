/* Looks at standard streams before a shim opens them. */
#include "workers/shim/stdio_check.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static bool is_given(const char *stream)
{
    return stream && *stream;
}

/* Opening the write end without waiting fails just when nobody has the read end open. */
static status_code_t check_reader(const char *name, const char *path, int *hold, status_t *st)
{
    *hold = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (*hold >= 0)
        return STATUS_OK;
    if (errno == ENXIO)
        return status_set(st, STATUS_FAILED_PRECONDITION, "%s: nobody reads the fifo %s", name,
                          path);
    return status_set(st, STATUS_FAILED_PRECONDITION, "%s: %s: %s", name, path, strerror(errno));
}

static status_code_t check_path(const char *name, const char *path, int *hold, status_t *st)
{
    struct stat info;
    if (path[0] != '/')
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s is not an absolute path", name,
                          path);
    if (stat(path, &info))
        return status_set(st, STATUS_FAILED_PRECONDITION, "%s: %s: %s", name, path,
                          strerror(errno));
    if (S_ISDIR(info.st_mode))
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s is a directory", name, path);
    if (hold && S_ISFIFO(info.st_mode))
        return check_reader(name, path, hold, st);
    return STATUS_OK;
}

static status_code_t check_logger(const char *name, const char *uri, const char *path, status_t *st)
{
    char program[PATH_MAX];
    size_t size = strcspn(path, "?");
    if (size == 0 || path[0] != '/' || size >= sizeof program)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s has no absolute path", name, uri);
    memcpy(program, path, size);
    program[size] = '\0';
    if (access(program, X_OK))
        return status_set(st, STATUS_FAILED_PRECONDITION, "%s: logger %s: %s", name, program,
                          strerror(errno));
    return STATUS_OK;
}

static status_code_t check_output(const char *name, const char *stream, int *hold, status_t *st)
{
    static const char file[] = "file://", binary[] = "binary://", fifo[] = "fifo://";
    if (!strncmp(stream, binary, strlen(binary)))
        return check_logger(name, stream, stream + strlen(binary), st);
    if (!strncmp(stream, file, strlen(file))) {
        if (stream[strlen(file)] == '/')
            return STATUS_OK; /* the shim makes the file and its directories */
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s has no absolute path", name, stream);
    }
    if (!strncmp(stream, fifo, strlen(fifo)))
        return check_path(name, stream + strlen(fifo), hold, st);
    if (strstr(stream, "://"))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s: %s is neither a path nor a file, binary or fifo URI", name, stream);
    return check_path(name, stream, hold, st);
}

static status_code_t check_all(const char *in, const char *out, const char *err, bool terminal,
                               stdio_hold_t *hold, status_t *st)
{
    if (is_given(in) && check_path("stdin", in, NULL, st))
        return st->code;
    if (terminal) {
        if (!is_given(out))
            return status_set(st, STATUS_INVALID_ARGUMENT, "stdout: a terminal needs one");
        return check_output("stdout", out, &hold->out, st);
    }
    if (is_given(out) != is_given(err))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s: both of stdout and stderr must be given, or none",
                          is_given(out) ? "stderr" : "stdout");
    if (is_given(out) && check_output("stdout", out, &hold->out, st))
        return st->code;
    if (is_given(err) && check_output("stderr", err, &hold->err, st))
        return st->code;
    return STATUS_OK;
}

status_code_t stdio_check(const char *in, const char *out, const char *err, bool terminal,
                          stdio_hold_t *hold, status_t *st)
{
    *hold = STDIO_HOLD_NONE;
    status_code_t code = check_all(in, out, err, terminal, hold, st);
    if (code)
        stdio_release(hold);
    return code;
}

void stdio_release(stdio_hold_t *hold)
{
    util_close(&hold->out);
    util_close(&hold->err);
}
