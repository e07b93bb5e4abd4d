/* Files that tell other programs a process id. */
#include "client/pid_file.h"

#include "common/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

status_code_t pid_file_write(const char *path, uint32_t pid, status_t *st)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    AUTO_FREE char *temporary =
        util_format("%.*s.%s.%d", (int)(name - path), path, name, (int)getpid());
    FILE *file = fopen(temporary, "wxe");
    if (!file)
        return status_errno(st, errno, "write pid file %s", path);
    int failed = fprintf(file, "%u", pid) < 0;
    failed = fclose(file) || failed || rename(temporary, path);
    if (!failed)
        return STATUS_OK;
    status_errno(st, errno, "write pid file %s", path);
    (void)unlink(temporary); /* the failure that matters is told already */
    return st->code;
}
