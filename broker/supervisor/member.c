/* One of the four processes under the supervisor. */
#include "broker/supervisor/member.h"

#include "broker/supervisor/handover.h"
#include "broker/supervisor/spawn.h"
#include "common/failpoint.h"
#include "common/io_timer.h"
#include "common/util.h"

#include <sys/epoll.h>

struct member {
    child_t child;
    const member_world_t *world;
    const char *name;
    char *path;
    const cluster_socket_t *sockets;
    size_t socket_count;
    member_changed_t *on_changed;
    void *arg;

    pid_t pid;    /* 0 when there is no process */
    int ready_fd; /* reading end of its readiness pipe; -1 once nothing can come from it */
    io_timer_t timer;
    int exec_error;               /* errno when it could not be executed */
    int64_t spawned_us, ready_us; /* monotonic; ready_us is 0 before it was ready */
    uint32_t spawns;
    char obituary[OBITUARY_SIZE]; /* empty before the first death */
};

/* The readiness pipe ------------------------------------------------------------------------------
 */

static void close_ready_pipe(member_t *self)
{
    if (self->ready_fd < 0)
        return;
    io_set_remove(self->world->io, self->ready_fd);
    util_close(&self->ready_fd);
}

static void take_words(member_t *self, const char *words, size_t size)
{
    if (!self->ready_us && memchr(words, SPAWN_READY, size)) {
        self->ready_us = util_monotonic_us();
        child_handle(&self->child, CHILD_IS_UP);
    }
    if (memchr(words, SPAWN_BUSY, size))
        child_handle(&self->child, CHILD_IS_BUSY);
}

/* What stands in the pipe is taken. A process that closes its end without a word is given the time
 * that any slow one has. */
static void read_ready_pipe(member_t *self)
{
    char words[16];
    if (self->ready_fd < 0)
        return;
    ssize_t size = read(self->ready_fd, words, sizeof words);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0)
        close_ready_pipe(self);
    else if (size == 1 + (ssize_t)sizeof self->exec_error && *words == SPAWN_EXEC_FAILED)
        memcpy(&self->exec_error, words + 1, sizeof self->exec_error);
    else
        take_words(self, words, (size_t)size);
}

static void on_ready_pipe(void *arg, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    read_ready_pipe(arg);
}

static void watch_ready_pipe(member_t *self)
{
    if (!io_set_add(self->world->io, self->ready_fd, EPOLLIN, on_ready_pipe, self))
        return;
    /* Deaf to its readiness: it will be killed when its time to start is over. */
    log_warn("%s: watch its readiness: %s", self->name, strerror(errno));
    util_close(&self->ready_fd);
}

/* The child table's host --------------------------------------------------------------------------
 */

static bool host_spawn(void *arg)
{
    member_t *self = arg;
    int fds[CLUSTER_SOCKETS];
    status_t st;
    for (size_t i = 0; i < self->socket_count; i++)
        fds[i] = self->world->listeners->fds[self->sockets[i]];
    AUTO_CLOSE int keep = keeper_open(self->world->keeper);
    if (keep < 0) {
        snprintf(self->obituary, sizeof self->obituary, "not started: make a channel: %s",
                 strerror(errno));
        log_warn("%s: %s", self->name, self->obituary);
        return false;
    }
    spawn_plan_t plan = {.path = self->path,
                         .cluster = self->world->cluster,
                         .lock_fd = self->world->lock_fd,
                         .keep_fd = keep,
                         .socket_count = self->socket_count,
                         .sockets = self->sockets,
                         .socket_fds = fds};
    self->ready_us = 0;
    self->exec_error = 0;
    FAILPOINT(&st, "spawn %s before", self->name);
    pid_t pid = spawn_process(&plan, &self->ready_fd, &st);
    if (pid < 0) {
        snprintf(self->obituary, sizeof self->obituary, "not started: %.200s", st.text);
        log_warn("%s: %s", self->name, self->obituary);
        return false;
    }
    self->pid = pid;
    self->spawns++;
    self->spawned_us = util_monotonic_us();
    FAILPOINT(&st, "spawn %s after", self->name);
    log_debug("%s: process %d started", self->name, (int)pid);
    watch_ready_pipe(self);
    return true;
}

static void host_signal(void *arg, int number)
{
    member_t *self = arg;
    if (self->pid == 0)
        return;
    if (number == SIGKILL)
        log_warn("%s: process %d is %s for too long and is killed", self->name, (int)self->pid,
                 child_state_name(self->child.state));
    /* Not reaped yet, so the pid is still its own. */
    if (kill(self->pid, number))
        log_warn("%s: signal %d to process %d: %s", self->name, number, (int)self->pid,
                 strerror(errno));
}

static void on_timer(void *arg)
{
    member_t *self = arg;
    child_handle(&self->child, CHILD_TIMER);
}

static void host_arm(void *arg, int ms)
{
    member_t *self = arg;
    if (ms > 0)
        io_timer_in(self->world->io, &self->timer, ms);
    else
        io_timer_stop(self->world->io, &self->timer);
}

static int64_t host_now(void *arg)
{
    (void)arg;
    return util_monotonic_us() / 1000;
}

static void host_changed(void *arg, child_state_t before)
{
    member_t *self = arg;
    log_debug("%s: %s -> %s", self->name, child_state_name(before),
              child_state_name(self->child.state));
    self->on_changed(self->arg, self, before);
}

static const child_host_t host = {.spawn = host_spawn,
                                  .signal = host_signal,
                                  .arm = host_arm,
                                  .now = host_now,
                                  .changed = host_changed};

/* Public ------------------------------------------------------------------------------------------
 */

member_t *member_new(const member_world_t *world, const char *name, const char *path,
                     const cluster_socket_t *sockets, size_t socket_count,
                     member_changed_t *on_changed, void *arg)
{
    member_t *self = zmalloc(sizeof *self);
    *self = (member_t){.world = world,
                       .name = name,
                       .path = util_strdup(path),
                       .sockets = sockets,
                       .socket_count = socket_count,
                       .on_changed = on_changed,
                       .arg = arg,
                       .ready_fd = -1};
    io_timer_init(&self->timer, on_timer, self);
    child_init(&self->child, &host, self, world->policy);
    return self;
}

void member_destroy(member_t **self_p)
{
    member_t *self = *self_p;
    if (!self)
        return;
    if (self->pid)
        kill(self->pid, SIGKILL);
    host_arm(self, 0);
    close_ready_pipe(self);
    free(self->path);
    free(self);
    *self_p = NULL;
}

json_t *member_hand_over(member_t *self)
{
    const child_t *child = &self->child;
    json_t *state = json_pack("{s:s, s:b, s:i, s:i, s:I}", "state", child_state_name(child->state),
                              "again", child->again, "early", (int)child->early, "late",
                              (int)child->late, "period", (json_int_t)child->period_began);
    json_t *rest =
        json_pack("{s:I, s:i, s:i, s:I, s:I, s:i, s:s, s:o}", "timer",
                  (json_int_t)(self->timer.is_set ? self->timer.when : 0), "pid", (int)self->pid,
                  "exec_error", self->exec_error, "spawned", (json_int_t)self->spawned_us, "ready",
                  (json_int_t)self->ready_us, "spawns", (int)self->spawns, "obituary",
                  self->obituary, "ready_fd", handover_put_fd(self->ready_fd));
    json_object_update(state, rest);
    json_decref(rest);
    io_set_remove(self->world->io, self->ready_fd);
    self->ready_fd = -1;
    self->pid = 0;
    return state;
}

bool member_restore(member_t *self, const json_t *state)
{
    child_t *child = &self->child;
    child_state_t known = child_state_find(handover_text(state, "state"));
    int64_t timer = handover_integer(state, "timer");
    if (known == CHILD_STATES)
        return false;
    child->state = known;
    child->again = json_is_true(json_object_get(state, "again"));
    child->early = (unsigned)handover_integer(state, "early");
    child->late = (unsigned)handover_integer(state, "late");
    child->period_began = handover_integer(state, "period");
    self->pid = (pid_t)handover_integer(state, "pid");
    self->exec_error = (int)handover_integer(state, "exec_error");
    self->spawned_us = handover_integer(state, "spawned");
    self->ready_us = handover_integer(state, "ready");
    self->spawns = (uint32_t)handover_integer(state, "spawns");
    snprintf(self->obituary, sizeof self->obituary, "%s", handover_text(state, "obituary"));
    self->ready_fd = handover_take_fd(state, "ready_fd");
    if (self->ready_fd >= 0)
        watch_ready_pipe(self);
    if (timer)
        io_timer_at(self->world->io, &self->timer, timer);
    return true;
}

void member_handle(member_t *self, child_event_t event)
{
    child_handle(&self->child, event);
}

void member_kill(member_t *self)
{
    if (self->pid && kill(self->pid, SIGKILL))
        log_warn("%s: kill process %d: %s", self->name, (int)self->pid, strerror(errno));
}

void member_reaped(member_t *self, int wait_status)
{
    /* Its last word may still be in the pipe: dying right after ready is not dying before it. */
    read_ready_pipe(self);
    close_ready_pipe(self);
    int64_t now = util_monotonic_us();
    obituary_t death = {.pid = self->pid,
                        .wait_status = wait_status,
                        .exec_error = self->exec_error,
                        .uptime_ms = (now - self->spawned_us) / 1000,
                        .ready_ms = self->ready_us ? (now - self->ready_us) / 1000 : -1};
    obituary_write(&death, self->obituary);
    log_line(self->child.state == CHILD_STOPPING ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "%s: %s",
             self->name, self->obituary);
    self->pid = 0;
    child_handle(&self->child, CHILD_EXITED);
}

const char *member_name(const member_t *self)
{
    return self->name;
}

child_state_t member_state(const member_t *self)
{
    return self->child.state;
}

pid_t member_pid(const member_t *self)
{
    return self->pid;
}

int64_t member_uptime_ms(const member_t *self)
{
    return self->pid ? (util_monotonic_us() - self->spawned_us) / 1000 : 0;
}

uint32_t member_restarts(const member_t *self)
{
    return self->spawns > 1 ? self->spawns - 1 : 0;
}

const char *member_obituary(const member_t *self)
{
    return *self->obituary ? self->obituary : NULL;
}
