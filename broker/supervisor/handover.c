/* What a supervisor leaves to the executable that takes its place in the same process. */
#include "broker/supervisor/handover.h"

#include "common/process.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/mman.h>

#define VARIABLE "SHIMD_HANDOVER_FD"

json_t *handover_put_fd(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, 0);
    return json_integer(fd);
}

int handover_take_fd(const json_t *state, const char *key)
{
    const json_t *value = json_object_get(state, key);
    int fd = json_is_integer(value) ? (int)json_integer_value(value) : -1;
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC))
        return -1;
    return fd;
}

int64_t handover_integer(const json_t *state, const char *key)
{
    return json_integer_value(json_object_get(state, key));
}

const char *handover_text(const json_t *state, const char *key)
{
    const char *text = json_string_value(json_object_get(state, key));
    return text ? text : "";
}

/* A memfd with the state, which outlives the execution; -1 with errno. */
static int write_state(const json_t *state)
{
    int fd = memfd_create("shimd-handover", 0);
    if (fd < 0 || (!json_dumpfd(state, fd, JSON_COMPACT) && lseek(fd, 0, SEEK_SET) == 0))
        return fd;
    int error = errno ? errno : ENOSPC;
    close(fd);
    errno = error;
    return -1;
}

status_code_t handover_execute(const char *path, char **argv, const json_t *state, status_t *st)
{
    char number[16];
    AUTO_CLOSE int fd = write_state(state);
    if (fd < 0)
        return status_errno(st, errno, "write down the supervisor's state");
    snprintf(number, sizeof number, "%d", fd);
    setenv(VARIABLE, number, 1);
    process_restore_limits();
    execv(path, argv);
    status_errno(st, errno, "execute %s", path);
    unsetenv(VARIABLE);
    process_raise_limits();
    return st->code;
}

json_t *handover_receive(status_t *st)
{
    const char *number = getenv(VARIABLE);
    status_clear(st);
    if (!number)
        return NULL;
    AUTO_CLOSE int fd = (int)strtol(number, NULL, 10);
    unsetenv(VARIABLE);
    json_error_t error;
    json_t *state = json_loadfd(fd, 0, &error);
    if (!state)
        status_set(st, STATUS_INTERNAL, "read the predecessor's state: %s", error.text);
    return state;
}
