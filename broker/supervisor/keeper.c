/* Descriptors that are kept for others. */
#include "broker/supervisor/keeper.h"

#include "broker/supervisor/handover.h"
#include "common/io_timer.h"
#include "common/keep.h"
#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

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
    size_t count;
    TAILQ_HEAD(, channel) channels;
};

keeper_t *keeper_new(io_set_t *io)
{
    keeper_t *self = zmalloc(sizeof *self);
    self->io = io;
    TAILQ_INIT(&self->channels);
    return self;
}

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

void keeper_destroy(keeper_t **self_p)
{
    keeper_t *self = *self_p;
    channel_t *channel;
    if (!self)
        return;
    while ((channel = TAILQ_FIRST(&self->channels)))
        channel_free(channel);
    free(self);
    *self_p = NULL;
}

/* The other side of a kept connection has gone: there is nothing left to be kept open. */
static void on_hang_up(void *arg, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    let_go(arg);
}

static void keep(channel_t *channel, int fd)
{
    keeper_t *self = channel->keeper;
    if (self->count >= KEEPER_MAX) {
        log_warn("keeper: %d descriptors are kept already", KEEPER_MAX);
        close(fd);
        return;
    }
    kept_t *kept = zmalloc(sizeof *kept);
    *kept = (kept_t){.channel = channel, .fd = fd};
    TAILQ_INSERT_TAIL(&channel->kept, kept, link);
    self->count++;
    io_set_add(self->io, fd, EPOLLRDHUP, on_hang_up, kept);
}

static void on_overdue(void *arg)
{
    channel_free(arg);
}

static void on_channel(void *arg, int fd, uint32_t events)
{
    channel_t *channel = arg;
    int received;
    (void)events;
    keep_result_t result;
    while ((result = keep_receive(fd, &received)) == KEEP_RECEIVED)
        keep(channel, received);
    if (result == KEEP_NOTHING)
        return;
    io_set_remove(channel->keeper->io, fd);
    util_close(&channel->fd);
    io_timer_in(channel->keeper->io, &channel->after, KEEPER_AFTER_MS);
}

static channel_t *channel_new(keeper_t *self, int fd)
{
    channel_t *channel = zmalloc(sizeof *channel);
    *channel = (channel_t){.keeper = self, .fd = fd};
    TAILQ_INIT(&channel->kept);
    io_timer_init(&channel->after, on_overdue, channel);
    TAILQ_INSERT_TAIL(&self->channels, channel, link);
    if (fd >= 0)
        io_set_add(self->io, fd, EPOLLIN, on_channel, channel);
    return channel;
}

int keeper_open(keeper_t *self)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
        return -1;
    channel_new(self, ends[0]);
    return ends[1];
}

json_t *keeper_save(const keeper_t *self)
{
    json_t *state = json_array();
    channel_t *channel;
    TAILQ_FOREACH(channel, &self->channels, link)
    {
        json_t *kept = json_array();
        const kept_t *item;
        TAILQ_FOREACH(item, &channel->kept, link)
        json_array_append_new(kept, json_pack("{s:o}", "fd", handover_put_fd(item->fd)));
        int64_t after = channel->after.is_set ? channel->after.when : 0;
        json_array_append_new(state,
                              json_pack("{s:o, s:I, s:o}", "fd", handover_put_fd(channel->fd),
                                        "after", (json_int_t)after, "kept", kept));
    }
    return state;
}

void keeper_forget(keeper_t *self)
{
    channel_t *channel;
    TAILQ_FOREACH(channel, &self->channels, link)
    {
        kept_t *item;
        TAILQ_FOREACH(item, &channel->kept, link)
        {
            io_set_remove(self->io, item->fd);
            item->fd = -1;
        }
        io_set_remove(self->io, channel->fd);
        channel->fd = -1;
    }
}

void keeper_restore(keeper_t *self, const json_t *state)
{
    const json_t *one, *item;
    size_t i, k;
    json_array_foreach(state, i, one)
    {
        channel_t *channel = channel_new(self, handover_take_fd(one, "fd"));
        int64_t after = handover_integer(one, "after");
        json_array_foreach(json_object_get(one, "kept"), k, item)
            keep(channel, handover_take_fd(item, "fd"));
        if (after)
            io_timer_at(self->io, &channel->after, after);
    }
}

size_t keeper_count(const keeper_t *self)
{
    return self->count;
}
