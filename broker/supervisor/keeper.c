/* The supervisor's side of the process that keeps descriptors. */
#include "broker/supervisor/keeper.h"

#include "broker/supervisor/handover.h"
#include "broker/supervisor/keeper_process.h"
#include "common/failpoint_term.h"
#include "common/io_timer.h"
#include "common/keep.h"
#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <czmq.h>

#define CHANNEL_KIND (SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
#define AGAIN_MS     20   /* before a process that has died gets a successor */
#define AGAIN_MAX_MS 5000 /* where none lives long; the time doubles up to this */
#define SETTLED_MS   1000 /* what is long */

/* The keeper's end of a channel: also here, for the next one. */
typedef struct channel {
    struct keeper *keeper;
    int fd;
    TAILQ_ENTRY(channel) link;
} channel_t;

struct keeper {
    io_set_t *io;
    const char *executable; /* borrowed */
    int process;            /* pidfd; -1 when there is none */
    int control;            /* to it: the keeper's ends of channels */
    io_timer_t again;
    int64_t again_ms, started_us;
    TAILQ_HEAD(, channel) channels;
};

static void start_again(void *arg);

keeper_t *keeper_new(io_set_t *io, const char *executable)
{
    keeper_t *self = zmalloc(sizeof *self);
    *self = (keeper_t){
        .io = io, .executable = executable, .process = -1, .control = -1, .again_ms = AGAIN_MS};
    TAILQ_INIT(&self->channels);
    io_timer_init(&self->again, start_again, self);
    return self;
}

static void end_process(keeper_t *self)
{
    io_set_remove(self->io, self->control);
    util_close(&self->control);
    if (self->process < 0)
        return;
    siginfo_t info;
    pidfd_send_signal(self->process, SIGKILL, NULL, 0);
    waitid(P_PIDFD, (id_t)self->process, &info, WEXITED);
    util_close(&self->process);
}

static void channel_free(channel_t *channel)
{
    keeper_t *self = channel->keeper;
    TAILQ_REMOVE(&self->channels, channel, link);
    io_set_remove(self->io, channel->fd);
    util_close(&channel->fd);
    free(channel);
}

/* The process at its other end has died. */
static void on_channel_end(void *arg, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    channel_free(arg);
}

static channel_t *channel_new(keeper_t *self, int fd)
{
    channel_t *channel = zmalloc(sizeof *channel);
    *channel = (channel_t){.keeper = self, .fd = fd};
    TAILQ_INSERT_TAIL(&self->channels, channel, link);
    io_set_add(self->io, fd, EPOLLRDHUP, on_channel_end, channel);
    return channel;
}

void keeper_destroy(keeper_t **self_p)
{
    keeper_t *self = *self_p;
    channel_t *channel;
    if (!self)
        return;
    io_timer_stop(self->io, &self->again);
    while ((channel = TAILQ_FIRST(&self->channels)))
        channel_free(channel);
    end_process(self);
    free(self);
    *self_p = NULL;
}

/* Between vfork and exec, in the memory of the parent. */
static _Noreturn void become(const char *executable, int control)
{
    if (control == KEEPER_CONTROL_FD)
        fcntl(control, F_SETFD, 0);
    else if (dup2(control, KEEPER_CONTROL_FD) < 0)
        _exit(EXIT_FAILURE);
    close_range(KEEPER_CONTROL_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    execl(executable, KEEPER_NAME, failpoint_directory(), (char *)NULL);
    _exit(EXIT_FAILURE);
}

static __attribute__((noinline)) pid_t launch(const char *executable, int control)
{
    pid_t pid = vfork();
    if (pid == 0)
        become(executable, control);
    return pid;
}

static void try_later(keeper_t *self)
{
    io_timer_in(self->io, &self->again, self->again_ms);
    self->again_ms = self->again_ms * 2 < AGAIN_MAX_MS ? self->again_ms * 2 : AGAIN_MAX_MS;
}

/* Nothing ever comes through the control channel but its end. */
static void on_control_end(void *arg, int fd, uint32_t events)
{
    keeper_t *self = arg;
    (void)fd;
    (void)events;
    log_warn("keeper: its process has died");
    end_process(self);
    if (util_monotonic_us() - self->started_us > SETTLED_MS * 1000)
        self->again_ms = AGAIN_MS;
    try_later(self);
}

static bool start_process(keeper_t *self)
{
    int ends[2];
    if (socketpair(AF_UNIX, CHANNEL_KIND, 0, ends))
        return false;
    pid_t pid = launch(self->executable, ends[1]);
    int error = errno;
    close(ends[1]);
    self->process = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (self->process < 0) {
        close(ends[0]);
        errno = error;
        return false;
    }
    self->control = ends[0];
    self->started_us = util_monotonic_us();
    io_set_add(self->io, self->control, EPOLLRDHUP, on_control_end, self);
    return true;
}

static void start_again(void *arg)
{
    keeper_t *self = arg;
    const channel_t *channel;
    bool is_good = self->control >= 0 || start_process(self);
    TAILQ_FOREACH(channel, &self->channels, link)
    is_good = is_good && !keep_send(self->control, channel->fd);
    if (is_good)
        return;
    log_warn("keeper: %s; what shims are at will end with their worker", strerror(errno));
    try_later(self);
}

int keeper_open(keeper_t *self)
{
    int ends[2];
    if (socketpair(AF_UNIX, CHANNEL_KIND, 0, ends))
        return -1;
    const channel_t *channel = channel_new(self, ends[0]);
    if (self->control < 0)
        start_again(self);
    else if (keep_send(self->control, channel->fd)) {
        log_warn("keeper: %s", strerror(errno)); /* its end may be on its way here */
        try_later(self);
    }
    return ends[1];
}

json_t *keeper_save(const keeper_t *self)
{
    json_t *channels = json_array();
    const channel_t *channel;
    TAILQ_FOREACH(channel, &self->channels, link)
    json_array_append_new(channels, json_pack("{s:o}", "fd", handover_put_fd(channel->fd)));
    return json_pack("{s:o, s:o, s:o}", "process", handover_put_fd(self->process), "control",
                     handover_put_fd(self->control), "channels", channels);
}

void keeper_restore(keeper_t *self, const json_t *state)
{
    const json_t *one;
    size_t i;
    self->process = handover_take_fd(state, "process");
    self->control = handover_take_fd(state, "control");
    if (self->control >= 0)
        io_set_add(self->io, self->control, EPOLLRDHUP, on_control_end, self);
    json_array_foreach(json_object_get(state, "channels"), i, one)
        channel_new(self, handover_take_fd(one, "fd"));
    if (self->control < 0)
        io_timer_in(self->io, &self->again, 0); /* it had died just before */
}

void keeper_forget(keeper_t *self)
{
    channel_t *channel;
    TAILQ_FOREACH(channel, &self->channels, link)
    {
        io_set_remove(self->io, channel->fd);
        channel->fd = -1;
    }
    io_set_remove(self->io, self->control);
    self->process = self->control = -1;
}
