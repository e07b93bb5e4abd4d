/* Looks at standard streams before a shim opens them. */
#include "workers/shim/stdio_check.h"

#include "common/util.h"

#include <string.h>

static bool is_given(const char *stream)
{
    return stream && *stream;
}

static status_code_t check_path(look_kind_t kind, const char *name, const char *path,
                                looks_t *looks, status_t *st)
{
    if (path[0] != '/')
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s is not an absolute path", name,
                          path);
    looks_add(looks, kind, name, path, strlen(path));
    return STATUS_OK;
}

static status_code_t check_logger(const char *name, const char *uri, const char *path,
                                  looks_t *looks, status_t *st)
{
    if (path[0] != '/')
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s has no absolute path", name, uri);
    looks_add(looks, LOOK_LOGGER, name, path, strcspn(path, "?"));
    return STATUS_OK;
}

static status_code_t check_output(const char *name, const char *stream, looks_t *looks,
                                  status_t *st)
{
    static const char file[] = "file://", binary[] = "binary://", fifo[] = "fifo://";
    if (!strncmp(stream, binary, strlen(binary)))
        return check_logger(name, stream, stream + strlen(binary), looks, st);
    if (!strncmp(stream, file, strlen(file))) {
        if (stream[strlen(file)] == '/')
            return STATUS_OK; /* the shim makes the file and its directories */
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s has no absolute path", name, stream);
    }
    if (!strncmp(stream, fifo, strlen(fifo)))
        return check_path(LOOK_OUTPUT, name, stream + strlen(fifo), looks, st);
    if (strstr(stream, "://"))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s: %s is neither a path nor a file, binary or fifo URI", name, stream);
    return check_path(LOOK_OUTPUT, name, stream, looks, st);
}

status_code_t stdio_check(const char *in, const char *out, const char *err, bool terminal,
                          looks_t *looks, status_t *st)
{
    status_clear(st);
    if (is_given(in) && check_path(LOOK_INPUT, "stdin", in, looks, st))
        return st->code;
    if (terminal) {
        if (!is_given(out))
            return status_set(st, STATUS_INVALID_ARGUMENT, "stdout: a terminal needs one");
        return check_output("stdout", out, looks, st);
    }
    if (is_given(out) != is_given(err))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s: both of stdout and stderr must be given, or none",
                          is_given(out) ? "stderr" : "stdout");
    if (is_given(out) && check_output("stdout", out, looks, st))
        return st->code;
    if (is_given(err) && check_output("stderr", err, looks, st))
        return st->code;
    return STATUS_OK;
}

stdio_hold_t stdio_hold(looks_t *looks)
{
    return (stdio_hold_t){.out = looks_take(looks, "stdout"), .err = looks_take(looks, "stderr")};
}

void stdio_release(stdio_hold_t *hold)
{
    util_close(&hold->out);
    util_close(&hold->err);
}
