/* The cgroup of a container. */
#include "workers/shim/cgroup.h"

#include "common/cgroup_tree.h"
#include "common/proc.h"
#include "common/util.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define FREEZER "freezer"
#define MEMORY  "memory"

/* The path below the hierarchy's root from /proc/PID/cgroup: "4:freezer:/a/b" in version 1,
 * "0::/a/b" in version 2, for which `controller` is NULL. False when there is none, or it is the
 * root, where everything else is too. */
static bool find_path(pid_t pid, const char *controller, char path[4096])
{
    char name[64], line[4096 + 128];
    snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
    FILE *file = fopen(name, "re");
    path[0] = '\0';
    while (file && !path[0] && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *place = controllers ? strchr(++controllers, ':') : NULL;
        if (!place)
            continue;
        *place++ = '\0';
        if (controller ? !strcmp(controllers, controller) : !controllers[0] && line[0] == '0')
            snprintf(path, 4096, "%s", place);
    }
    if (file)
        fclose(file);
    return path[0] == '/' && path[1];
}

typedef struct seeking {
    pid_t pid;
    bool is_v1; /* what was found is in a hierarchy of version 1 */
} seeking_t;

static char *dir_below(void *arg, const char *mount_point, bool is_v1)
{
    seeking_t *seeking = arg;
    char path[4096];
    seeking->is_v1 = is_v1;
    return find_path(seeking->pid, is_v1 ? FREEZER : NULL, path)
               ? util_format("%s%s", mount_point, path)
               : NULL;
}

/* The directory of the cgroup; the caller frees, NULL when there is none. */
static char *find_dir(pid_t pid, bool *is_v1)
{
    seeking_t seeking = {.pid = pid};
    char *found = cgroup_find(FREEZER, dir_below, &seeking);
    *is_v1 = seeking.is_v1;
    return found;
}

static size_t read_pids(const char *dir, pid_t **ret)
{
    size_t count = 0, room = 0;
    AUTO_FREE char *path = dir ? util_format("%s/cgroup.procs", dir) : NULL;
    FILE *file = path ? fopen(path, "re") : NULL;
    *ret = NULL;
    for (int number; file && count < CGROUP_PIDS_MAX && fscanf(file, "%d", &number) == 1;) {
        if (count == room) {
            room = room ? room * 2 : 64;
            *ret = realloc(*ret, room * sizeof **ret);
            if (!*ret)
                abort();
        }
        (*ret)[count++] = (pid_t)number;
    }
    if (file)
        fclose(file);
    return count;
}

size_t cgroup_pids(pid_t pid, pid_t **ret)
{
    bool is_v1;
    AUTO_FREE char *dir = find_dir(pid, &is_v1);
    return read_pids(dir, ret);
}

/* Looked at when the descriptor is there: whatever came to its pid before is seen to be elsewhere,
 * and what comes to it later is not what the descriptor names. */
static void signal_inside(pid_t pid, const char *controller, const char *path, int number)
{
    char now[4096];
    AUTO_CLOSE int fd = proc_open(pid, 0);
    if (fd >= 0 && find_path(pid, controller, now) && !strcmp(now, path))
        (void)pidfd_send_signal(fd, number, NULL, 0); /* one that has ended needs none */
}

void cgroup_signal_others(pid_t pid, uint64_t start, int number)
{
    bool is_v1;
    char path[4096];
    pid_t *pids;
    AUTO_FREE char *dir = find_dir(pid, &is_v1);
    const char *controller = is_v1 ? FREEZER : NULL;
    if (!find_path(pid, controller, path) || (start && proc_start_time(pid) != start))
        return; /* it has ended: that may be where another one is */
    size_t count = read_pids(dir, &pids);
    for (size_t i = 0; i < count; i++)
        if (pids[i] != pid)
            signal_inside(pids[i], controller, path, number);
    free(pids);
}

void cgroup_thaw(pid_t pid)
{
    bool is_v1;
    AUTO_FREE char *dir = find_dir(pid, &is_v1);
    AUTO_FREE char *path =
        dir ? util_format("%s/%s", dir, is_v1 ? "freezer.state" : "cgroup.freeze") : NULL;
    AUTO_CLOSE int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    const char *word = is_v1 ? "THAWED" : "0";
    if (fd >= 0 && write(fd, word, strlen(word)) < 0)
        return; /* its cgroup is going away, with what was in it */
}

/* Memory -----------------------------------------------------------------------------------------
 */

/* NULL when that is not where memory is counted. */
static char *oom_file_below(void *arg, const char *mount_point, bool is_v1)
{
    const pid_t *pid = arg;
    char path[4096], own[4096];
    const char *controller = is_v1 ? MEMORY : NULL;
    if (!find_path(*pid, controller, path) ||
        (find_path(getpid(), controller, own) && !strcmp(own, path)))
        return NULL;
    char *file =
        util_format("%s%s/%s", mount_point, path, is_v1 ? "memory.oom_control" : "memory.events");
    if (!access(file, R_OK))
        return file;
    free(file);
    return NULL;
}

char *cgroup_oom_file(pid_t pid)
{
    return cgroup_find(MEMORY, oom_file_below, &pid);
}

uint32_t cgroup_oom_kills(const char *file)
{
    unsigned kills = 0;
    char line[128];
    FILE *stream = fopen(file, "re");
    while (stream && fgets(line, sizeof line, stream))
        if (sscanf(line, "oom_kill %u", &kills) == 1)
            break;
    if (stream)
        fclose(stream);
    return kills;
}
