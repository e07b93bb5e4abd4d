/* Who listens on which unix socket. */
#include "common/proc_socket.h"

#include "common/util.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTENING   0x10000 /* __SO_ACCEPTCON, as /proc/net/unix shows it */
#define UNIX_PREFIX "unix://"
#define LINK_SIZE   64

void proc_each_listener(proc_listener_t *callback, void *arg)
{
    FILE *table = fopen("/proc/net/unix", "re");
    char line[512], link[LINK_SIZE];
    bool done = false;
    while (table && !done && fgets(line, sizeof line, table)) {
        unsigned flags;
        unsigned long inode;
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %lu %n", &flags, &inode, &name) != 2 || !name ||
            !(flags & LISTENING))
            continue;
        snprintf(link, sizeof link, "socket:[%lu]", inode);
        done = callback(arg, line + name, link);
    }
    if (table)
        fclose(table);
}

static bool holds(pid_t pid, const char *link)
{
    char path[64], target[LINK_SIZE];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *stream = opendir(path);
    bool found = false;
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        ssize_t size = readlinkat(dirfd(stream), entry->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        found = !strcmp(target, link);
    }
    if (stream)
        closedir(stream);
    return found;
}

/* By name ----------------------------------------------------------------------------------------
 */

typedef struct wanted {
    const char *name;
    char link[LINK_SIZE]; /* "" until it is found */
} wanted_t;

static bool take_named(void *arg, const char *name, const char *link)
{
    wanted_t *self = arg;
    if (strcmp(name, self->name) != 0)
        return false;
    snprintf(self->link, sizeof self->link, "%s", link);
    return true;
}

pid_t proc_find_listener(const char *address)
{
    bool is_path = !strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX));
    AUTO_FREE char *name =
        is_path ? util_strdup(address + strlen(UNIX_PREFIX)) : util_format("@%s", address);
    wanted_t wanted = {.name = name};
    proc_each_listener(take_named, &wanted);
    DIR *processes = wanted.link[0] ? opendir("/proc") : NULL;
    pid_t found = 0;
    for (struct dirent *entry; processes && !found && (entry = readdir(processes));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && holds(pid, wanted.link))
            found = pid;
    }
    if (processes)
        closedir(processes);
    return found;
}

/* By process -------------------------------------------------------------------------------------
 */

typedef struct holder {
    pid_t pid;
    char *path;
} holder_t;

static bool take_held(void *arg, const char *name, const char *link)
{
    holder_t *self = arg;
    if (name[0] == '/' && holds(self->pid, link))
        self->path = util_strdup(name);
    return self->path != NULL;
}

char *proc_listens_at(pid_t pid)
{
    holder_t holder = {.pid = pid};
    proc_each_listener(take_held, &holder);
    return holder.path;
}
