/* Processes of this machine. */
#include "common/proc.h"

#include "common/util.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#define STAT_MAX         1024
#define PARENT_FIELD     4
#define START_TIME_FIELD 22
#define LISTENING        0x10000 /* __SO_ACCEPTCON, as /proc/net/unix shows it */
#define UNIX_PREFIX      "unix://"
#define BOOT_SIZE        9 /* of the boot's UUID this many characters, less one */

/* A number of /proc/PID/stat, by its place in proc(5) and behind the name; 0 without a process. */
static uint64_t stat_field(pid_t pid, int wanted)
{
    char path[64], text[STAT_MAX];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
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

/* The number by which descriptors of the listening socket are known; 0 when there is none. */
static unsigned long listener_inode(const char *address)
{
    bool is_path = !strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX));
    AUTO_FREE char *wanted =
        is_path ? util_strdup(address + strlen(UNIX_PREFIX)) : util_format("@%s", address);
    FILE *table = fopen("/proc/net/unix", "re");
    char line[512];
    unsigned long found = 0;
    while (table && !found && fgets(line, sizeof line, table)) {
        unsigned flags;
        unsigned long inode;
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %lu %n", &flags, &inode, &name) == 2 && name &&
            (flags & LISTENING) && !strcmp(line + name, wanted))
            found = inode;
    }
    if (table)
        fclose(table);
    return found;
}

static bool holds(const char *pid, const char *link)
{
    char path[300], target[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *stream = opendir(path);
    bool found = false;
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        ssize_t size = readlinkat(dirfd(stream), entry->d_name, target, sizeof target - 1);
        if (size > 0) {
            target[size] = '\0';
            found = !strcmp(target, link);
        }
    }
    if (stream)
        closedir(stream);
    return found;
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

pid_t proc_find_listener(const char *address)
{
    char link[64];
    unsigned long inode = listener_inode(address);
    if (!inode)
        return 0;
    snprintf(link, sizeof link, "socket:[%lu]", inode);
    DIR *processes = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; processes && !found && (entry = readdir(processes));)
        if (isdigit((unsigned char)entry->d_name[0]) && holds(entry->d_name, link))
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    if (processes)
        closedir(processes);
    return found;
}
