/* The cluster itself: its processes, its lock, what it still owes, and the journal's runs. */
#include "client/doctor/compare.h"

#include <fcntl.h>

static void compare_processes(compare_t *self)
{
    const msg_cluster_t *cluster = &self->said->cluster;
    for (size_t i = 0; self->said->has[SAID_CLUSTER] && i < cluster->processes.count; i++) {
        const msg_cluster_process_t *process = &cluster->processes.items[i];
        bool is_down = !strcmp(process->state, "FAILED") || !strcmp(process->state, "BACKOFF") ||
                       !strcmp(process->state, "DOWN");
        if (is_down)
            findings_add(self->findings, FINDING_PROCESS_DOWN, "", "", process->name, 0,
                         "it is %s%s%s", process->state, process->obituary ? ": " : "",
                         process->obituary ? process->obituary : "");
    }
}

static pid_t supervisor_of(const said_t *said)
{
    for (size_t i = 0; said->has[SAID_CLUSTER] && i < said->cluster.processes.count; i++)
        if (!strcmp(said->cluster.processes.items[i].name, "supervisor"))
            return (pid_t)said->cluster.processes.items[i].pid;
    return 0;
}

static void compare_lock(compare_t *self)
{
    pid_t supervisor = supervisor_of(self->said);
    if (!supervisor)
        return;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    AUTO_FREE char *path = util_format("%s/shimd.lock", self->machine->cluster->run_dir);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    bool is_held =
        fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK && lock.l_pid == supervisor;
    if (!is_held)
        findings_add(self->findings, FINDING_LOST_LOCK, "", "", path, 0,
                     "shimd (pid %d) does not hold it: it was removed or replaced, and a second "
                     "shimd could start here",
                     (int)supervisor);
}

static void compare_debts(compare_t *self)
{
    const msg_bundles_t *bundles = &self->said->bundles;
    for (size_t i = 0; self->said->has[SAID_BUNDLES] && i < bundles->debts.count; i++) {
        const msg_bundle_t *row = &bundles->debts.items[i];
        if (row->path[0] == '/')
            findings_add(self->findings, FINDING_DEBT, row->ns, row->id, row->path, 0, "%s",
                         row->debt ? row->debt : "deleted, and not removed yet");
    }
}

static void compare_runs(compare_t *self)
{
    const msg_incarnations_t *runs = &self->said->runs;
    if (!self->said->has[SAID_RUNS] || !self->said->has[SAID_TASKS])
        return;
    for (size_t i = 0; i < runs->incarnations.count; i++) {
        const msg_incarnation_t *run = &runs->incarnations.items[i];
        char key[SEEN_KEY_SIZE];
        if (!compare_is_owned(self, run->ns, run->id))
            findings_add(self->findings, FINDING_RUN_WITHOUT_TASK, run->ns, run->id,
                         seen_key(run->ns, run->id, key), 0,
                         "the journal takes run %s for alive, and there is no task",
                         run->incarnation);
    }
}

void compare_cluster(compare_t *self)
{
    compare_processes(self);
    compare_lock(self);
    compare_debts(self);
    compare_runs(self);
}
