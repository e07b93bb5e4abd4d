/* Processes of this machine. */
#include "common/proc.h"

#include "common/util.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#define STAT_MAX         1024
#define STATUS_MAX       4096 /* the user is in its first lines */
#define PARENT_FIELD     4
#define START_TIME_FIELD 22
#define BOOT_SIZE        9 /* of the boot's UUID this many characters, less one */

size_t proc_read(pid_t pid, const char *name, char *ret, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0 && used < size - 1;) {
        got = read(fd, ret + used, size - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    ret[used] = '\0';
    return used;
}

const char *proc_next_word(const char *word, const char *end)
{
    const char *next = word + strlen(word) + 1;
    return next < end ? next : NULL;
}

/* A number of /proc/PID/stat, by its place in proc(5) and behind the name; 0 without a process. */
static uint64_t stat_field(pid_t pid, int wanted)
{
    char text[STAT_MAX];
    proc_read(pid, "stat", text, sizeof text);
    /* The name is in parentheses and may have anything in it, parentheses too. */
    char *rest = strrchr(text, ')');
    for (int field = 2; rest && field < wanted; field++)
        rest = strchr(rest + 1, ' ');
    return rest ? strtoull(rest + 1, NULL, 10) : 0;
}

uint64_t proc_start_time(pid_t pid)
{
    return stat_field(pid, START_TIME_FIELD);
}

pid_t proc_parent(pid_t pid)
{
    return (pid_t)stat_field(pid, PARENT_FIELD);
}

/* The owner of /proc/PID is another one where a process does not let itself be dumped. */
uid_t proc_user(pid_t pid)
{
    static const char label[] = "\nUid:";
    char text[STATUS_MAX];
    proc_read(pid, "status", text, sizeof text);
    const char *field = strstr(text, label); /* in no name: the kernel escapes line ends there */
    return field ? (uid_t)strtoul(field + strlen(label), NULL, 10) : (uid_t)-1;
}

int proc_open(pid_t pid, uint64_t start_time)
{
    int fd = pid > 0 ? pidfd_open(pid, 0) : (errno = ESRCH, -1);
    /* Looked at after it was opened: from then on the descriptor stays with this very process. */
    if (fd >= 0 && start_time && proc_start_time(pid) != start_time) {
        close(fd);
        errno = ESRCH;
        return -1;
    }
    return fd;
}

/* Of the machine's present life; "" when it cannot be read. */
static void read_boot(char ret[BOOT_SIZE])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file || !fgets(ret, BOOT_SIZE, file))
        ret[0] = '\0';
    if (file)
        fclose(file);
}

bool proc_name(pid_t pid, char ret[PROC_NAME_SIZE])
{
    char boot[BOOT_SIZE];
    uint64_t start_time = proc_start_time(pid);
    read_boot(boot);
    snprintf(ret, PROC_NAME_SIZE, "%s-%d-%" PRIu64, boot, pid, start_time);
    return start_time != 0;
}

int proc_open_named(const char *name)
{
    char boot[BOOT_SIZE];
    int pid;
    uint64_t start_time;
    read_boot(boot);
    size_t size = strlen(boot);
    bool is_name =
        strchr(name, '-') && sscanf(strchr(name, '-'), "-%d-%" SCNu64, &pid, &start_time) == 2;
    bool is_here = is_name && !strncmp(name, boot, size) && name[size] == '-' && start_time;
    if (is_here)
        return proc_open(pid, start_time);
    errno = is_name ? ESRCH : EINVAL;
    return -1;
}

bool proc_comm(pid_t pid, char ret[PROC_COMM_SIZE])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    bool known = file && fgets(ret, PROC_COMM_SIZE, file);
    if (file)
        fclose(file);
    if (known)
        ret[strcspn(ret, "\n")] = '\0';
    for (char *at = ret; known && *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return known;
}
