/* Tasks without a shim. */
#include "workers/shim/orphan.h"

#include "common/log.h"
#include "common/proc.h"
#include "workers/shim/cgroup.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/init_record.h"
#include "workers/shim/runtime.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define SIGNAL_BASE 128 /* exit status of a process that signal n ended is this + n */

bool orphan_is_kept(const task_t *task)
{
    return task->init.pid && process_may_have_run(&task->init) && task->intent &&
           task->intent->on_shim_loss == SHIM_LOSS_KEEP;
}

/* Ends ------------------------------------------------------------------------------------------
 */

static void stop_watching(manager_t *self, process_t *process)
{
    io_set_remove(self->io, process->pidfd);
    util_close(&process->pidfd);
}

static void record_unknown(manager_t *self, process_t *process)
{
    exits_record(self, process,
                 &(exit_news_t){.at = util_now_ns(),
                                .source = "none",
                                .why = "its shim was lost, and the process was nobody's child"});
}

/* Kernels since 6.15 tell how a process ended to whoever has a descriptor of it (PIDFD_GET_INFO,
 * linux/pidfd.h); what they do not have in their headers yet is written down here. */
#ifndef PIDFD_INFO_EXIT
#define PIDFD_INFO_EXIT (1UL << 3)
#endif
struct pidfd_info_exit {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_GET_INFO_EXIT _IOWR(0xFF, 11, struct pidfd_info_exit)

static bool ask_kernel(int pidfd, int *wait_status)
{
    struct pidfd_info_exit info = {.mask = PIDFD_INFO_EXIT};
    if (ioctl(pidfd, PIDFD_GET_INFO_EXIT, &info) || !(info.mask & PIDFD_INFO_EXIT))
        return false;
    *wait_status = info.exit_code;
    return true;
}

void orphan_record_end(manager_t *self, process_t *process, int wait_status, int64_t at)
{
    uint32_t status = WIFSIGNALED(wait_status) ? SIGNAL_BASE + (uint32_t)WTERMSIG(wait_status)
                                               : (uint32_t)WEXITSTATUS(wait_status);
    exits_record(self, process, &(exit_news_t){.status = status, .at = at, .source = "waitpid"});
}

/* A process that is nobody's child of ours: the kernel may know. The descriptor becomes readable
 * when it ends, and is asked once more when it was reaped. */
static void on_stranger_end(void *arg, int fd, uint32_t events)
{
    process_t *process = arg;
    manager_t *self = process->task->manager;
    int wait_status;
    bool is_reaped = events & EPOLLHUP;
    if (ask_kernel(fd, &wait_status))
        orphan_record_end(self, process, wait_status, util_now_ns());
    else if (is_reaped || !proc_start_time((pid_t)process->pid))
        record_unknown(self, process);
    else { /* a zombie: whoever is its parent takes a moment */
        io_set_remove(self->io, fd);
        io_timer_in(self->io, &process->again, ORPHAN_ZOMBIE_MS);
        return;
    }
    stop_watching(self, process);
}

void orphan_look_again(process_t *process)
{
    manager_t *self = process->task->manager;
    if (process->pidfd < 0 ||
        io_set_add(self->io, process->pidfd, EPOLLIN, on_stranger_end, process))
        record_unknown(self, process);
}

static void on_reaped(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE process_ref_t *inquest = arg;
    const msg_reaped_t *reaped = answer;
    process_t *process = process_ref_find(inquest);
    if (!process || process->has_exited)
        return;
    if (!st->code) {
        stop_watching(inquest->manager, process);
        orphan_record_end(inquest->manager, process, (int)reaped->wait_status, reaped->time);
        return;
    }
    log_debug("%s/%s: %s", inquest->ns, inquest->id, st->text);
    orphan_look_again(process);
}

/* The descriptor is had first: a process that ends now is still asked about by it. */
static void watch(manager_t *self, process_t *process)
{
    if (process->has_exited)
        return;
    io_set_remove(self->io, process->pidfd); /* its shim is not asked any more when it ends */
    if (process->pidfd < 0)
        process->pidfd = proc_open((pid_t)process->pid, process->start);
    process_ref_t *inquest = zmalloc(sizeof *inquest);
    *inquest = process_ref(process);
    const msg_cluster_reaped_t ask = {.pid = process->pid, .start = process->start};
    link_ask(self->link, MSG_cluster_reaped, &ask, NULL, -1, NULL, on_reaped, inquest);
}

/* Becoming an orphan ------------------------------------------------------------------------------
 */

void orphan_look_at_start(task_t *task)
{
    process_t *init = &task->init;
    if (task->phase == TASK_ORPHANED && init->state == PROCESS_CREATED && !init->has_exited &&
        !process_waits_for_start(init))
        init->state = PROCESS_RUNNING;
}

/* A Start was sent, and its answer was lost with the shim. */
static process_state_t state_after_lost_start(const process_t *init)
{
    if (process_waits_for_start(init))
        return PROCESS_CREATED;
    return runtime_is_runc(init->task->runtime) ? PROCESS_RUNNING : PROCESS_UNKNOWN;
}

void orphan_begin(manager_t *self, task_t *task)
{
    log_warn("%s: its shim is gone, process %u is kept without", task->key, task->init.pid);
    task_enter(task, TASK_ORPHANED);
    task->unresponsive = false;
    if (task->init.state == PROCESS_CREATED)
        task->init.state = state_after_lost_start(&task->init);
    orphan_settle_execs(self, task);
    watch(self, &task->init);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        if (exec->pid)
            watch(self, exec);
    exec_deadline_resume_all(task);
}

bool orphan_load(manager_t *self, task_t *task)
{
    process_t *init = &task->init;
    init_record_t record;
    if (!task->intent || !task->bundle || !init_record_read(task->bundle, &record) ||
        !record.has_started)
        return false;
    init->pid = record.pid;
    init->start = record.start;
    init->state = process_waits_for_start(init) ? PROCESS_CREATED : PROCESS_RUNNING;
    exec_record_load(task);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        if (exec->pid)
            exec->state = PROCESS_RUNNING;
    if (!orphan_is_kept(task)) {
        init->state = PROCESS_UNKNOWN;
        return false;
    }
    orphan_begin(self, task);
    return true;
}

/* Requests ----------------------------------------------------------------------------------------
 */

static status_code_t signal_pid(pid_t pid, uint64_t start, int number, status_t *st)
{
    AUTO_CLOSE int fd = proc_open(pid, start);
    if (fd < 0 || pidfd_send_signal(fd, number, NULL, 0)) {
        if (errno == ESRCH)
            return status_set(st, STATUS_NOT_FOUND, "process already finished: not found");
        return status_errno(st, errno, "signal %d to process %d", number, (int)pid);
    }
    return STATUS_OK;
}

status_code_t orphan_signal(const process_t *process, int number, bool all, status_t *st)
{
    const process_t *init = &process->task->init;
    if (all && !init->has_exited)
        cgroup_signal_others((pid_t)init->pid, init->start, number);
    if (signal_pid((pid_t)process->pid, process->start, number, st))
        return st->code;
    if (number == SIGKILL && !init->has_exited)
        cgroup_thaw((pid_t)init->pid);
    return STATUS_OK;
}

void orphan_kill_all(const task_t *task)
{
    const process_t *init = &task->init;
    status_t ignored;
    if (init->pid && init->start && proc_start_time((pid_t)init->pid) == init->start)
        orphan_signal(init, SIGKILL, true, &ignored);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        if (exec->pid && exec->start)
            signal_pid((pid_t)exec->pid, exec->start, SIGKILL, &ignored);
}

void orphan_kill(manager_t *self, request_t *request, process_t *process,
                 const msg_task_kill_t *ask)
{
    status_t st;
    (void)self;
    begun_add(&process->task->begun, process->task->bundle, request_id(request), BEGUN_DONE);
    if (orphan_signal(process, (int)ask->signal, ask->all, &st))
        request_fail(request, &st);
    else
        request_answer(request, NULL);
}

static const char *exec_of(const task_t *task, pid_t pid)
{
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        if (exec->pid == (uint32_t)pid)
            return exec->exec_id;
    return NULL;
}

void orphan_pids(request_t *request, const task_t *task)
{
    pid_t *pids = NULL;
    size_t count = 0;
    if (!task->init.has_exited)
        count = cgroup_pids((pid_t)task->init.pid, &pids);
    msg_pid_entry_t *entries = zmalloc((count + 1) * sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = (msg_pid_entry_t){.pid = (uint32_t)pids[i], .exec_id = exec_of(task, pids[i])};
    request_answer(request, &(msg_pid_list_t){.processes = {.items = entries, .count = count}});
    free(entries);
    free(pids);
}

void orphan_ended(manager_t *self, task_t *task)
{
    if (zlistx_size(task->deleters))
        bury_task(self, task);
}

void orphan_delete(manager_t *self, request_t *request, task_t *task, bool force)
{
    process_t *init = &task->init;
    status_t st = {.code = STATUS_OK};
    if (!init->has_exited && !force && !process_is_gone(init)) {
        manager_fail(request, STATUS_FAILED_PRECONDITION,
                     "task %s must be stopped before deletion: %s", task->id,
                     process_state_name(init->state));
        return;
    }
    if (!init->has_exited && orphan_signal(init, SIGKILL, true, &st) &&
        st.code != STATUS_NOT_FOUND) {
        request_fail(request, &st);
        return;
    }
    if (zlistx_size(task->deleters) == 0)
        deleter_set(&task->deleter, task->bundle, request, force);
    zlistx_add_end(task->deleters, request);
    if (init->exit_recorded)
        bury_task(self, task);
}
