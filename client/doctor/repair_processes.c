/* Processes: shims that belong to nobody or are stopped, and what lives in strange cgroups. Each is
 * held by a descriptor before it is looked at again, so that no other can be hit. */
#include "client/doctor/repair.h"

#include "client/doctor/compare.h"
#include "common/cgroup_tree.h"
#include "common/proc.h"
#include "common/proc_socket.h"
#include "workers/shim/shim_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

#define DEPTH_MAX  16  /* of cgroups inside a container's own */
#define ROUNDS_MAX 100 /* what forks faster than that is left */
#define ROUND_MS   20

bool repair_kill(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
        return false;
    return poll(&ended, 1, REPAIR_END_MS) == 1;
}

/* The process of the finding, if it still is a shim of this cluster; -1 otherwise. */
static int open_shim(repair_t *self, finding_t *finding)
{
    shim_words_t words;
    int fd = proc_open(finding->pid, finding->start);
    if (fd < 0) {
        finding_set(finding, FINDING_MENDED, "it has ended by itself");
        return -1;
    }
    if (shim_process_is(self->cluster, finding->pid, &words) && !words.is_verb)
        return fd;
    finding_set(finding, FINDING_LEFT, "process %d is no shim any more", (int)finding->pid);
    close(fd);
    return -1;
}

void repair_kill_shim(repair_t *self, finding_t *finding)
{
    AUTO_CLOSE int fd = open_shim(self, finding);
    if (fd < 0 || !repair_is_unowned(self, finding))
        return;
    /* Without a bundle there is nothing for the shim's own `delete` verb to work on. Its container
     * goes first: the shim would be missed as its parent. */
    AUTO_FREE char *state =
        util_format("%s/runc/%s/%s", self->cluster->run_dir, finding->ns, finding->id);
    if (seen_mark(state) && !repair_delete_container(self, finding))
        return;
    /* Afterwards nobody could tell whose its socket was. */
    AUTO_FREE char *socket = proc_listens_at(finding->pid);
    if (!repair_kill(fd)) {
        finding_set(finding, FINDING_LEFT, "process %d does not end", (int)finding->pid);
        return;
    }
    if (socket && compare_is_refused(socket))
        (void)unlink(socket); /* or it has removed it itself */
    finding_set(finding, FINDING_MENDED, "killed");
}

void repair_continue_shim(repair_t *self, finding_t *finding)
{
    AUTO_CLOSE int fd = open_shim(self, finding);
    if (fd < 0)
        return;
    if (pidfd_send_signal(fd, SIGCONT, NULL, 0))
        finding_set(finding, FINDING_LEFT, "SIGCONT: %s", strerror(errno));
    else
        finding_set(finding, FINDING_MENDED, "continued");
}

/* cgroups ----------------------------------------------------------------------------------------
 */

typedef struct hunt {
    const char *path; /* of the cgroup below a hierarchy's root */
    size_t found;
} hunt_t;

static bool is_in_cgroup(pid_t pid, const char *path)
{
    char line[4096 + 128];
    AUTO_FREE char *name = util_format("/proc/%d/cgroup", (int)pid);
    FILE *file = fopen(name, "re");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *at = strstr(line, path);
        char next = at ? at[strlen(path)] : 'x';
        found = at && at[-1] == ':' && (next == '/' || next == '\n' || !next);
    }
    if (file)
        fclose(file);
    return found;
}

static void kill_in(hunt_t *hunt, const char *dir)
{
    AUTO_FREE char *path = util_format("%s/cgroup.procs", dir);
    FILE *file = fopen(path, "re");
    for (int pid; file && fscanf(file, "%d", &pid) == 1;) {
        AUTO_CLOSE int fd = proc_open((pid_t)pid, 0);
        if (fd < 0 || !is_in_cgroup((pid_t)pid, hunt->path))
            continue;
        hunt->found++;
        (void)pidfd_send_signal(fd, SIGKILL, NULL, 0); /* the next round sees whether it helped */
    }
    if (file)
        fclose(file);
}

static void thaw(const char *dir, const char *name, const char *word)
{
    AUTO_FREE char *path = util_format("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, word, strlen(word)) < 0)
        return; /* it is going away */
}

static void kill_below(hunt_t *hunt, const char *dir, int depth)
{
    kill_in(hunt, dir);
    thaw(dir, "freezer.state", "THAWED");
    thaw(dir, "cgroup.freeze", "0");
    DIR *stream = depth ? opendir(dir) : NULL;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *below = util_format("%s/%s", dir, entry->d_name);
        kill_below(hunt, below, depth - 1);
    }
    if (stream)
        closedir(stream);
}

static void kill_in_hierarchy(void *arg, const char *mount_point)
{
    hunt_t *hunt = arg;
    AUTO_FREE char *dir = util_format("%s%s", mount_point, hunt->path);
    kill_below(hunt, dir, DEPTH_MAX);
}

void repair_stray_processes(repair_t *self, finding_t *finding)
{
    hunt_t hunt = {.path = finding->object, .found = 1};
    if (!repair_is_unowned(self, finding))
        return;
    for (int round = 0; hunt.found && round < ROUNDS_MAX; round++) {
        if (round)
            poll(NULL, 0, ROUND_MS);
        hunt.found = 0;
        cgroup_each_hierarchy(kill_in_hierarchy, &hunt);
    }
    cgroup_remove(finding->object);
    if (hunt.found)
        finding_set(finding, FINDING_LEFT, "%zu processes do not end", hunt.found);
    else
        finding_set(finding, FINDING_MENDED, "killed");
}
