/* Asking CRIU whether it works here. */
#include "client/criu.h"

#include "common/util.h"
#include "workers/shim/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define LINE_MAX_SIZE 256 /* bytes of one line that is shown */
#define NOT_FOUND     127 /* exit status of a shell that finds no such program */
#define TIMED_OUT     124 /* exit status of timeout(1) */

/* CRIU's last line says why; those before it may be warnings. */
static void last_line(FILE *from, char ret[LINE_MAX_SIZE])
{
    char line[LINE_MAX_SIZE];
    ret[0] = '\0';
    while (fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0])
            memcpy(ret, line, sizeof line);
    }
}

status_code_t criu_check(const char *runtime, status_t *st)
{
    char said[LINE_MAX_SIZE];
    if (!runtime || !runtime_is_runc(runtime))
        return STATUS_OK;
    FILE *pipe = popen("exec timeout 30 criu check 2>&1 </dev/null", "re");
    if (!pipe)
        return status_errno(st, errno, "run criu check");
    last_line(pipe, said);
    int ended = pclose(pipe);
    int code = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
    if (code == 0)
        return STATUS_OK;
    if (code == NOT_FOUND)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "CRIU is not installed: there is no criu program in $PATH");
    if (code == TIMED_OUT)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "CRIU does not work here: criu check has not ended in 30 s");
    return status_set(st, STATUS_FAILED_PRECONDITION,
                      "CRIU does not work here: criu check says: %s", said[0] ? said : "nothing");
}
