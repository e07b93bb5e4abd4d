/* The pid files of a bundle. */
#include "tests/fake-shim/pid_file.h"

#include "common/util.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#define KILL_WAIT_MS 5000

/* Field 22 of /proc/PID/stat, behind the name in parentheses; "" when there is no process. */
static void start_time(pid_t pid, char *text, size_t size)
{
    char line[1024] = "";
    AUTO_FREE char *path = util_format("/proc/%d/stat", pid);
    *text = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char *at = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        snprintf(text, size, "%.*s", (int)strcspn(at + 1, " "), at + 1);
}

static void write_text(const char *bundle, const char *name, const char *suffix, const char *text)
{
    AUTO_FREE char *path = util_format("%s/%s.%s", bundle, name, suffix);
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    fputs(text, file);
    fclose(file);
}

static void read_text(const char *bundle, const char *name, const char *suffix, char *text,
                      size_t size)
{
    AUTO_FREE char *path = util_format("%s/%s.%s", bundle, name, suffix);
    FILE *file = fopen(path, "re");
    *text = '\0';
    if (!file)
        return;
    if (!fgets(text, (int)size, file))
        *text = '\0';
    fclose(file);
}

void pid_file_write(const char *bundle, const char *name, pid_t pid)
{
    char text[32];
    start_time(pid, text, sizeof text);
    write_text(bundle, name, "started", text);
    snprintf(text, sizeof text, "%d", pid);
    write_text(bundle, name, "pid", text);
}

pid_t pid_file_read(const char *bundle, const char *name)
{
    char text[32];
    read_text(bundle, name, "pid", text, sizeof text);
    return atoi(text);
}

void pid_file_kill(const char *bundle, const char *name)
{
    char then[32], now[32];
    pid_t pid = pid_file_read(bundle, name);
    AUTO_CLOSE int fd = pid > 1 ? pidfd_open(pid, 0) : -1;
    if (fd < 0)
        return;
    read_text(bundle, name, "started", then, sizeof then);
    start_time(pid, now, sizeof now);
    if (!*then || strcmp(then, now) != 0)
        return;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    poll(&end, 1, KILL_WAIT_MS);
}
