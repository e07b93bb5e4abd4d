/* The supervisor: the four members, the signals, and the way down. */
#include "broker/supervisor/supervisor.h"

#include "broker/supervisor/control.h"
#include "broker/supervisor/handover.h"
#include "broker/supervisor/notify.h"
#include "broker/supervisor/trial.h"
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
    round_t *round;
    trial_t trial;
    const supervisor_plan_t *plan;
    uint32_t replacements; /* supervisors before this one in the same process */
    bool was_ready;        /* all four were, and everybody was told */
    bool stopping, is_replaced;
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
    round_changed(self->round, member);
    if (!self->stopping)
        tell_when_all_ready(self);
}

/* Its own successor
 * --------------------------------------------------------------------------------
 */

static void on_replace(void *arg)
{
    supervisor_t *self = arg;
    status_t st;
    if (trial_start(&self->trial, self->plan->path, self->plan->argv, &st))
        round_not_replaced(self->round, &st);
}

static void on_tried(supervisor_t *self, int wait_status)
{
    status_t st;
    if (trial_reaped(&self->trial, wait_status, &st)) {
        round_not_replaced(self->round, &st);
    } else if (!self->stopping) {
        self->is_replaced = true;
        io_set_stop(self->io);
    }
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
        FAILPOINT(&ignored, "reap before");
        if (info.si_pid == self->trial.pid) {
            if (waitpid(info.si_pid, &wait_status, WNOHANG) == info.si_pid)
                on_tried(self, wait_status);
        } else if (!member) {
            reaper_reap(self->reaper, info.si_pid);
        } else if (waitpid(info.si_pid, &wait_status, WNOHANG) == info.si_pid) {
            member_reaped(member, wait_status);
            control_tell_death(self->control, member, info.si_pid);
        }
        FAILPOINT(&ignored, "reap after");
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
    round_close(self->round);
    stop_next(self);
}

static void on_signal(void *arg, int fd, uint32_t events)
{
    supervisor_t *self = arg;
    struct signalfd_siginfo info;
    (void)events;
    /* What comes from then on stays pending for the successor. */
    while (!self->is_replaced && read(fd, &info, sizeof info) == sizeof info) {
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

static status_code_t restore(supervisor_t *self, const json_t *inherited, status_t *st)
{
    self->was_ready = json_is_true(json_object_get(inherited, "was_ready"));
    self->replacements = (uint32_t)handover_integer(inherited, "replacements") + 1;
    keeper_restore(self->world.keeper, json_object_get(inherited, "keeper"));
    reaper_restore(self->reaper, json_object_get(inherited, "reaper"));
    const json_t *members = json_object_get(inherited, "members");
    for (size_t i = 0; i < MEMBERS; i++) {
        const char *name = member_name(self->members[i]);
        if (!member_restore(self->members[i], json_object_get(members, name)))
            return status_set(st, STATUS_INTERNAL, "the predecessor left no state of %s", name);
    }
    status_t ignored;
    FAILPOINT(&ignored, "replace after");
    log_info("took the place of a predecessor in this process");
    return STATUS_OK;
}

static status_code_t make(supervisor_t *self, const json_t *inherited, status_t *st)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        AUTO_FREE char *path = util_format("%s/%s", self->plan->libexec, rows[i].executable);
        self->members[i] = member_new(&self->world, msg_service_name(rows[i].service), path,
                                      rows[i].sockets, rows[i].socket_count, on_changed, self);
    }
    if (inherited && restore(self, inherited, st))
        return st->code;
    self->control = control_new(&self->world, self->members, MEMBERS, self->reaper, self->round,
                                self->replacements, st);
    if (!self->control)
        return st->code;
    if (io_set_add(self->io, self->plan->signals, EPOLLIN, on_signal, self))
        return status_errno(st, errno, "watch signals");
    if (inherited)
        round_replaced(self->round, json_object_get(inherited, "round"));
    return STATUS_OK;
}

supervisor_t *supervisor_new(const supervisor_plan_t *plan, const json_t *inherited, status_t *st)
{
    supervisor_t *self = zmalloc(sizeof *self);
    self->plan = plan;
    self->io = io_set_new(NULL);
    self->world = (member_world_t){.io = self->io,
                                   .cluster = plan->cluster,
                                   .listeners = plan->listeners,
                                   .policy = &plan->settings->policy,
                                   .keeper = keeper_new(self->io, plan->path),
                                   .libexec = plan->libexec,
                                   .lock_fd = plan->lock_fd};
    self->reaper = reaper_new();
    self->round = round_new(self->io, self->members, MEMBERS, on_replace, self);
    trial_init(&self->trial, self->io);
    if (make(self, inherited, st))
        supervisor_destroy(&self);
    return self;
}

void supervisor_destroy(supervisor_t **self_p)
{
    supervisor_t *self = *self_p;
    if (!self)
        return;
    io_set_remove(self->io, self->plan->signals);
    control_destroy(&self->control);
    for (size_t i = 0; i < MEMBERS; i++)
        member_destroy(&self->members[i]);
    trial_destroy(&self->trial);
    round_destroy(&self->round);
    reaper_destroy(&self->reaper);
    keeper_destroy(&self->world.keeper);
    io_set_destroy(&self->io);
    free(self);
    *self_p = NULL;
}

bool supervisor_run(supervisor_t *self)
{
    /* Last in the table first: the broker has something to connect to when the others come. One
     * that is not DOWN was taken over. */
    for (size_t i = MEMBERS; i-- > 0;)
        if (member_state(self->members[i]) == CHILD_DOWN)
            member_handle(self->members[i], CHILD_START);
    /* Who died while nobody was there to read the signal. */
    reap(self);
    if (!self->is_replaced)
        io_set_run(self->io);
    return self->is_replaced;
}

json_t *supervisor_hand_over(supervisor_t **self_p)
{
    supervisor_t *self = *self_p;
    json_t *members = json_object();
    for (size_t i = 0; i < MEMBERS; i++)
        json_object_set_new(members, member_name(self->members[i]),
                            member_hand_over(self->members[i]));
    json_t *state =
        json_pack("{s:b, s:i, s:o, s:o, s:o, s:o}", "was_ready", self->was_ready, "replacements",
                  (int)self->replacements, "keeper", keeper_save(self->world.keeper), "reaper",
                  reaper_save(self->reaper), "round", round_save(self->round), "members", members);
    keeper_forget(self->world.keeper);
    supervisor_destroy(self_p);
    zsys_shutdown(); /* waits until the last answers have left */
    return state;
}
