/* The supervisor: the four members, the signals, and the way down. */
#include "broker/supervisor/supervisor.h"

#include "broker/supervisor/control.h"
#include "broker/supervisor/notify.h"
#include "broker/supervisor/reaper.h"
#include "common/failpoint.h"
#include "common/message.h"
#include "common/util.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

typedef struct row {
    msg_service_t service;
    const char *executable;
    cluster_socket_t sockets[CLUSTER_SOCKETS];
    size_t socket_count;
} row_t;

/* In the order in which they are stopped: whoever asks others goes before those it asks. */
static const row_t rows[] = {
    {SERVICE_SHIM, "shimd-shim", {0}, 0},
    {SERVICE_BUNDLE, "shimd-bundle", {0}, 0},
    {SERVICE_METADATA, "shimd-metadata", {CLUSTER_SHIM_EVENTS}, 1},
    {SERVICE_BROKER,
     "shimd-broker",
     {CLUSTER_CLIENT, CLUSTER_WORKER, CLUSTER_PUBLISH, CLUSTER_EVENTS},
     4},
};

#define MEMBERS ARRAY_SIZE(rows)

struct supervisor {
    io_set_t *io;
    member_world_t world;
    member_t *members[MEMBERS];
    control_t *control;
    reaper_t *reaper;
    int signals;
    bool was_ready; /* all four were, and everybody was told */
    bool stopping;
};

int supervisor_take_signals(status_t *st)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* A parent that ignores SIGCHLD hands that on, and then nobody is left to be waited for. */
    signal(SIGCHLD, SIG_DFL);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1)) {
        status_errno(st, errno, "become child subreaper");
        return -1;
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        status_errno(st, errno, "signalfd");
    return fd;
}

status_code_t supervisor_check_libexec(const char *libexec, status_t *st)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        AUTO_FREE char *path = util_format("%s/%s", libexec, rows[i].executable);
        if (access(path, X_OK))
            return status_errno(st, errno, "%s", path);
    }
    return STATUS_OK;
}

/* Members come and go
 * ------------------------------------------------------------------------------
 */

/* Stops the first member in order that still runs; its end calls this again. */
static void stop_next(supervisor_t *self)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (member_state(self->members[i]) == CHILD_DOWN)
            continue;
        member_handle(self->members[i], CHILD_STOP);
        if (member_state(self->members[i]) != CHILD_DOWN)
            return;
    }
    io_set_stop(self->io);
}

static void tell_when_all_ready(supervisor_t *self)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (member_state(self->members[i]) != CHILD_READY)
            return;
    if (self->was_ready)
        return;
    self->was_ready = true;
    log_info("cluster ready: %s", self->world.cluster->run_dir);
    notify_manager("READY=1");
}

static void on_changed(void *arg, member_t *member, child_state_t before)
{
    supervisor_t *self = arg;
    (void)before;
    child_state_t state = member_state(member);
    if (state == CHILD_READY)
        log_info("%s: ready, process %d, after %d ms", member_name(member), (int)member_pid(member),
                 (int)member_uptime_ms(member));
    if (state == CHILD_FAILED)
        log_error("%s: failed: it dies before it is ready, again and again; trying goes on slowly",
                  member_name(member));
    control_changed(self->control, member);
    if (!self->stopping)
        tell_when_all_ready(self);
}

static member_t *find_pid(supervisor_t *self, pid_t pid)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (member_pid(self->members[i]) == pid)
            return self->members[i];
    return NULL;
}

/* Members, and as subreaper whatever was orphaned below them: shims, and containers whose shim
 * died. */
static void reap(supervisor_t *self)
{
    siginfo_t info = {0};
    while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid) {
        member_t *member = find_pid(self, info.si_pid);
        int wait_status;
        status_t ignored;
        FAILPOINT(&ignored, "reap");
        if (!member) {
            reaper_reap(self->reaper, info.si_pid);
        } else if (waitpid(info.si_pid, &wait_status, WNOHANG) == info.si_pid) {
            member_reaped(member, wait_status);
            control_tell_death(self->control, member, info.si_pid);
        }
        info.si_pid = 0;
    }
    if (self->stopping)
        stop_next(self);
}

static void begin_stopping(supervisor_t *self, unsigned number)
{
    if (self->stopping)
        return;
    log_info("SIG%s: stopping; containers go on", sigabbrev_np((int)number));
    self->stopping = true;
    notify_manager("STOPPING=1");
    control_close(self->control);
    stop_next(self);
}

static void on_signal(void *arg, int fd, uint32_t events)
{
    supervisor_t *self = arg;
    struct signalfd_siginfo info;
    (void)events;
    while (read(fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap(self);
        else if (info.ssi_signo == SIGHUP)
            log_info("SIGHUP: nothing is reloaded; the configuration is read at start");
        else
            begin_stopping(self, info.ssi_signo);
    }
}

/* Life --------------------------------------------------------------------------------------------
 */

static status_code_t make_members(supervisor_t *self, const char *libexec, status_t *st)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        AUTO_FREE char *path = util_format("%s/%s", libexec, rows[i].executable);
        self->members[i] = member_new(&self->world, msg_service_name(rows[i].service), path,
                                      rows[i].sockets, rows[i].socket_count, on_changed, self);
    }
    self->reaper = reaper_new();
    self->control = control_new(&self->world, self->members, MEMBERS, self->reaper, st);
    return self->control ? STATUS_OK : st->code;
}

supervisor_t *supervisor_new(const cluster_t *cluster, const settings_t *settings,
                             const listeners_t *listeners, int lock_fd, int signals,
                             const char *libexec, status_t *st)
{
    supervisor_t *self = zmalloc(sizeof *self);
    self->signals = signals;
    self->io = io_set_new(NULL);
    self->world = (member_world_t){.io = self->io,
                                   .cluster = cluster,
                                   .listeners = listeners,
                                   .policy = &settings->policy,
                                   .keeper = keeper_new(self->io),
                                   .libexec = libexec,
                                   .lock_fd = lock_fd};
    if (make_members(self, libexec, st))
        supervisor_destroy(&self);
    else if (io_set_add(self->io, signals, EPOLLIN, on_signal, self)) {
        status_errno(st, errno, "watch signals");
        supervisor_destroy(&self);
    }
    return self;
}

void supervisor_destroy(supervisor_t **self_p)
{
    supervisor_t *self = *self_p;
    if (!self)
        return;
    io_set_remove(self->io, self->signals);
    control_destroy(&self->control);
    for (size_t i = 0; i < MEMBERS; i++)
        member_destroy(&self->members[i]);
    reaper_destroy(&self->reaper);
    keeper_destroy(&self->world.keeper);
    io_set_destroy(&self->io);
    free(self);
    *self_p = NULL;
}

void supervisor_run(supervisor_t *self)
{
    /* Last in the table first: the broker has something to connect to when the others come. */
    for (size_t i = MEMBERS; i-- > 0;)
        member_handle(self->members[i], CHILD_START);
    io_set_run(self->io);
}
