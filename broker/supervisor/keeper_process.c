/* Keeping descriptors for others. */
#include "broker/supervisor/keeper_process.h"

#include "common/failpoint.h"
#include "common/io_set.h"
#include "common/io_timer.h"
#include "common/keep.h"
#include "common/process.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#define OTHERS_MAX 64 /* descriptors that are not kept */

typedef struct keeper keeper_t;

/* One process's channel, and what came through it. */
typedef struct channel {
    keeper_t *keeper;
    int fd; /* -1 once the process has died */
    io_timer_t after;
    TAILQ_HEAD(, kept) kept;
    TAILQ_ENTRY(channel) link;
} channel_t;

typedef struct kept {
    channel_t *channel;
    int fd;
    TAILQ_ENTRY(kept) link;
} kept_t;

struct keeper {
    io_set_t *io;
    bool has_supervisor;
    size_t count, most;
    TAILQ_HEAD(, channel) channels;
};

static void let_go(kept_t *kept)
{
    keeper_t *self = kept->channel->keeper;
    TAILQ_REMOVE(&kept->channel->kept, kept, link);
    io_set_remove(self->io, kept->fd);
    util_close(&kept->fd);
    self->count--;
    free(kept);
}

static void channel_free(channel_t *channel)
{
    keeper_t *self = channel->keeper;
    kept_t *kept;
    while ((kept = TAILQ_FIRST(&channel->kept)))
        let_go(kept);
    io_timer_stop(self->io, &channel->after);
    io_set_remove(self->io, channel->fd);
    util_close(&channel->fd);
    TAILQ_REMOVE(&self->channels, channel, link);
    free(channel);
}

static void end_when_done(keeper_t *self)
{
    if (!self->has_supervisor && TAILQ_EMPTY(&self->channels))
        io_set_stop(self->io);
}

/* Its process has died, and nothing of it is left. */
static void free_when_empty(channel_t *channel)
{
    keeper_t *self = channel->keeper;
    if (channel->fd >= 0 || !TAILQ_EMPTY(&channel->kept))
        return;
    channel_free(channel);
    end_when_done(self);
}

/* The other side of a kept connection has gone: there is nothing left to be kept open. */
static void on_hang_up(void *arg, int fd, uint32_t events)
{
    kept_t *kept = arg;
    channel_t *channel = kept->channel;
    (void)fd;
    (void)events;
    status_t ignored;
    FAILPOINT(&ignored, "let go before");
    let_go(kept);
    FAILPOINT(&ignored, "let go after");
    free_when_empty(channel);
}

static void keep(channel_t *channel, int fd)
{
    keeper_t *self = channel->keeper;
    status_t ignored;
    if (FAILPOINT(&ignored, "keep before") || self->count >= self->most) {
        close(fd);
        return;
    }
    kept_t *kept = zmalloc(sizeof *kept);
    *kept = (kept_t){.channel = channel, .fd = fd};
    TAILQ_INSERT_TAIL(&channel->kept, kept, link);
    self->count++;
    io_set_add(self->io, fd, EPOLLRDHUP, on_hang_up, kept);
    FAILPOINT(&ignored, "keep after");
}

static void on_overdue(void *arg)
{
    channel_t *channel = arg;
    keeper_t *self = channel->keeper;
    channel_free(channel);
    end_when_done(self);
}

static void on_channel(void *arg, int fd, uint32_t events)
{
    channel_t *channel = arg;
    int received;
    (void)events;
    keep_result_t result;
    while ((result = keep_receive(fd, &received)) < KEEP_NOTHING)
        if (result == KEEP_RECEIVED)
            keep(channel, received);
    if (result == KEEP_NOTHING)
        return;
    status_t ignored;
    FAILPOINT(&ignored, "channel end");
    io_set_remove(channel->keeper->io, fd);
    util_close(&channel->fd);
    io_timer_in(channel->keeper->io, &channel->after, KEEPER_AFTER_MS);
    free_when_empty(channel);
}

static void channel_new(keeper_t *self, int fd)
{
    channel_t *channel = zmalloc(sizeof *channel);
    *channel = (channel_t){.keeper = self, .fd = fd};
    TAILQ_INIT(&channel->kept);
    io_timer_init(&channel->after, on_overdue, channel);
    TAILQ_INSERT_TAIL(&self->channels, channel, link);
    io_set_add(self->io, fd, EPOLLIN, on_channel, channel);
    status_t ignored;
    FAILPOINT(&ignored, "word before");
    keep_send_word(fd);
    FAILPOINT(&ignored, "word after");
}

static void on_control(void *arg, int fd, uint32_t events)
{
    keeper_t *self = arg;
    int channel;
    (void)events;
    keep_result_t result;
    while ((result = keep_receive(fd, &channel)) < KEEP_NOTHING)
        if (result == KEEP_RECEIVED)
            channel_new(self, channel);
    if (result == KEEP_NOTHING)
        return;
    status_t ignored;
    FAILPOINT(&ignored, "alone");
    io_set_remove(self->io, fd);
    close(fd);
    self->has_supervisor = false;
    end_when_done(self);
}

/* Nothing of whoever started it: neither its terminal and directory nor how it takes signals. */
static void stand_apart(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++)
        dup2(null, fd);
    prctl(PR_SET_NAME, KEEPER_NAME);
    setsid();
    if (chdir("/"))
        _exit(EXIT_FAILURE);
    process_reset_signals();
}

/* Some room for channels is left. */
static size_t room(void)
{
    struct rlimit limit;
    bool is_small = !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < KEEPER_MAX + OTHERS_MAX;
    return !is_small ? KEEPER_MAX : limit.rlim_cur > OTHERS_MAX ? limit.rlim_cur - OTHERS_MAX : 0;
}

_Noreturn void keeper_process_run(const char *failpoints)
{
    status_t st;
    stand_apart();
    failpoint_inherit(failpoints, "keeper");
    keeper_t self = {.io = io_set_new(NULL), .has_supervisor = true, .most = room()};
    TAILQ_INIT(&self.channels);
    fcntl(KEEPER_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    if (FAILPOINT(&st, "begin") ||
        io_set_add(self.io, KEEPER_CONTROL_FD, EPOLLIN, on_control, &self))
        _exit(EXIT_FAILURE);
    io_set_run(self.io);
    FAILPOINT(&st, "end");
    _exit(EXIT_SUCCESS);
}
