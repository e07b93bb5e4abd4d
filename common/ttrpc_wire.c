/* ttrpc frames in and out of a non-blocking socket.
 *
 * The header and then exactly its body are read, so that a pause holds at a frame's end without
 * anything to put back. The body's buffer grows with what has come, not with what was announced. */
#include "common/ttrpc_wire.h"

#include "common/util.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define BODY_STEP    (64 * 1024) /* bytes by which the body's buffer grows at least */
#define DISCARD_SIZE (64 * 1024) /* bytes of an oversize body read at a time */

typedef struct queued {
    ttrpc_frame_t *frame;
    TAILQ_ENTRY(queued) link;
} queued_t;

struct ttrpc_wire {
    io_set_t *io;
    const ttrpc_wire_ops_t *ops;
    void *arg;
    int fd; /* -1 before open and after the end */
    bool is_paused, is_closed;
    bool cannot_write; /* the peer reads no more; what it had sent is still wanted */
    status_t failure;  /* by ttrpc_wire_fail; OK when there was none */
    pid_t peer_pid;
    uint32_t events; /* watched */

    uint8_t head[TTRPC_HEADER_SIZE];
    size_t head_size; /* bytes of the header that have come */
    ttrpc_header_t header;
    uint8_t *body;
    size_t body_size, body_capacity; /* bytes that have come (an oversize body's too), room */

    TAILQ_HEAD(, queued) queue;
    size_t queued, queued_bytes;
    size_t sent; /* bytes of the queue's head that are gone */

    /* A callback may destroy the wire under the function that calls it: the last one out frees. */
    int uses;
    bool is_doomed;
};

/* Life -------------------------------------------------------------------------------------------
 */

ttrpc_wire_t *ttrpc_wire_new(io_set_t *io, const ttrpc_wire_ops_t *ops, void *arg)
{
    ttrpc_wire_t *self = zmalloc(sizeof *self);
    *self = (ttrpc_wire_t){.io = io, .ops = ops, .arg = arg, .fd = -1};
    TAILQ_INIT(&self->queue);
    return self;
}

static void drop_head(ttrpc_wire_t *self)
{
    queued_t *head = TAILQ_FIRST(&self->queue);
    TAILQ_REMOVE(&self->queue, head, link);
    self->queued--;
    self->queued_bytes -= head->frame->size;
    self->sent = 0;
    ttrpc_frame_destroy(&head->frame);
    free(head);
}

static void drop_body(ttrpc_wire_t *self)
{
    free(self->body);
    self->body = NULL;
    self->body_size = self->body_capacity = 0;
    self->head_size = 0;
}

/* Lets go of everything but the struct. */
static void shut(ttrpc_wire_t *self)
{
    self->is_closed = true;
    io_set_remove(self->io, self->fd);
    util_close(&self->fd);
    while (!TAILQ_EMPTY(&self->queue))
        drop_head(self);
    drop_body(self);
}

static void enter(ttrpc_wire_t *self)
{
    self->uses++;
}

static void leave(ttrpc_wire_t *self)
{
    if (--self->uses == 0 && self->is_doomed)
        free(self);
}

void ttrpc_wire_destroy(ttrpc_wire_t **self_p)
{
    ttrpc_wire_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    enter(self);
    shut(self);
    self->is_doomed = true;
    leave(self);
}

static void finish(ttrpc_wire_t *self)
{
    status_t st = self->failure;
    if (st.code == STATUS_OK)
        status_set(&st, STATUS_UNAVAILABLE, "%s closed the connection", self->ops->peer);
    shut(self);
    self->ops->closed(self->arg, &st);
}

static void watch(ttrpc_wire_t *self)
{
    bool wants_out = !self->cannot_write && !TAILQ_EMPTY(&self->queue);
    uint32_t events = (self->is_paused ? 0 : EPOLLIN) | (wants_out ? EPOLLOUT : 0);
    if (self->fd < 0 || events == self->events)
        return;
    io_set_change(self->io, self->fd, events);
    self->events = events;
}

/* Sending ----------------------------------------------------------------------------------------
 */

/* The read side is shut too: a peer that reads no more but stays would else never be noticed. What
 * has already come can still be read, then comes end of file. */
static void stop_writing(ttrpc_wire_t *self)
{
    self->cannot_write = true;
    while (!TAILQ_EMPTY(&self->queue))
        drop_head(self);
    shutdown(self->fd, SHUT_RDWR);
}

/* Hands as much of the queue to the kernel as it takes. */
static void flush(ttrpc_wire_t *self)
{
    while (!TAILQ_EMPTY(&self->queue) && !self->cannot_write) {
        const ttrpc_frame_t *frame = TAILQ_FIRST(&self->queue)->frame;
        ssize_t count = send(self->fd, frame->bytes + self->sent, frame->size - self->sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
            return;
        if (count < 0) {
            stop_writing(self);
            return;
        }
        self->sent += (size_t)count;
        if (self->sent == frame->size)
            drop_head(self);
    }
}

status_code_t ttrpc_wire_send(ttrpc_wire_t *self, ttrpc_frame_t *frame, status_t *st)
{
    AUTO(ttrpc_frame)
    owned = frame;
    if (self->is_closed || self->cannot_write || self->failure.code)
        return status_set(st, STATUS_UNAVAILABLE, "%s closed the connection", self->ops->peer);
    if (self->queued_bytes + frame->size > TTRPC_QUEUE_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "%zu bytes wait for the %s to read them, limit %d", self->queued_bytes,
                          self->ops->peer, TTRPC_QUEUE_MAX);
    queued_t *entry = zmalloc(sizeof *entry);
    entry->frame = TAKE(owned);
    TAILQ_INSERT_TAIL(&self->queue, entry, link);
    self->queued++;
    self->queued_bytes += frame->size;
    if (self->fd >= 0 && self->queued == 1)
        flush(self);
    watch(self);
    return STATUS_OK;
}

size_t ttrpc_wire_queued(const ttrpc_wire_t *self)
{
    return self->queued;
}

/* Receiving --------------------------------------------------------------------------------------
 */

static bool is_oversize(const ttrpc_wire_t *self)
{
    return self->header.size > TTRPC_BODY_MAX;
}

static void reserve_body(ttrpc_wire_t *self)
{
    if (self->body_size < self->body_capacity)
        return;
    size_t want = self->body_capacity ? 2 * self->body_capacity : BODY_STEP;
    if (want > self->header.size)
        want = self->header.size;
    self->body = realloc(self->body, want);
    if (!self->body)
        abort();
    self->body_capacity = want;
}

/* One recv of what the frame still lacks. As recv(2): bytes, 0 at the end, -1 with errno. */
static ssize_t receive(ttrpc_wire_t *self)
{
    if (self->head_size < TTRPC_HEADER_SIZE)
        return recv(self->fd, self->head + self->head_size, TTRPC_HEADER_SIZE - self->head_size,
                    MSG_DONTWAIT);
    if (is_oversize(self)) {
        static uint8_t discarded[DISCARD_SIZE];
        size_t left = self->header.size - self->body_size;
        return recv(self->fd, discarded, left < DISCARD_SIZE ? left : DISCARD_SIZE, MSG_DONTWAIT);
    }
    reserve_body(self);
    return recv(self->fd, self->body + self->body_size, self->body_capacity - self->body_size,
                MSG_DONTWAIT);
}

static void deliver(ttrpc_wire_t *self)
{
    bool skip = is_oversize(self);
    ttrpc_header_t header = self->header;
    AUTO_FREE uint8_t *body = TAKE(self->body);
    drop_body(self);
    if (!skip)
        self->ops->frame(self->arg, &header, body);
}

/* Takes in what receive() brought; calls back at the end of a header or a frame. */
static void advance(ttrpc_wire_t *self, size_t count)
{
    if (self->head_size == TTRPC_HEADER_SIZE) {
        self->body_size += count;
    } else {
        self->head_size += count;
        if (self->head_size < TTRPC_HEADER_SIZE)
            return;
        self->header = ttrpc_header_decode(self->head);
        if (is_oversize(self))
            self->ops->oversize(self->arg, &self->header);
    }
    if (!self->is_closed && self->body_size == self->header.size)
        deliver(self);
}

/* Reads until the socket is empty, the wire is paused or over, or others should have a turn. */
static void drain(ttrpc_wire_t *self)
{
    size_t budget = TTRPC_READ_BUDGET;
    while (budget > 0 && !self->is_paused && !self->is_closed && !self->failure.code) {
        ssize_t count = receive(self);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            finish(self);
            return;
        }
        budget -= (size_t)count < budget ? (size_t)count : budget;
        advance(self, (size_t)count);
    }
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    (void)fd;
    ttrpc_wire_t *self = arg;
    enter(self);
    if (events & EPOLLOUT) {
        bool was_waiting = !TAILQ_EMPTY(&self->queue);
        flush(self);
        if (was_waiting && TAILQ_EMPTY(&self->queue) && !self->cannot_write && self->ops->drained)
            self->ops->drained(self->arg);
    }
    if (!self->is_closed && self->is_paused && (events & (EPOLLHUP | EPOLLERR)))
        finish(self);
    if (!self->is_closed)
        drain(self);
    if (!self->is_closed && self->failure.code)
        finish(self);
    if (!self->is_closed)
        watch(self);
    leave(self);
}

/* The socket -------------------------------------------------------------------------------------
 */

static status_code_t check_peer(ttrpc_wire_t *self, int fd, status_t *st)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
        return status_errno(st, errno, "credentials of the %s", self->ops->peer);
    if (peer.uid != geteuid())
        return status_set(st, STATUS_PERMISSION_DENIED, "%s runs as uid %u, not %u",
                          self->ops->peer, peer.uid, geteuid());
    self->peer_pid = peer.pid;
    return STATUS_OK;
}

status_code_t ttrpc_wire_open(ttrpc_wire_t *self, int fd, status_t *st)
{
    assert(self->fd < 0 && !self->is_closed);
    AUTO_CLOSE int owned = fd;
    if (check_peer(self, fd, st)) {
        shut(self);
        return st->code;
    }
    if (io_set_add(self->io, fd, 0, on_ready, self)) {
        status_errno(st, errno, "watch the connection to the %s", self->ops->peer);
        shut(self);
        return st->code;
    }
    owned = -1;
    self->fd = fd;
    flush(self);
    watch(self);
    return STATUS_OK;
}

void ttrpc_wire_pause(ttrpc_wire_t *self, bool is_paused)
{
    self->is_paused = is_paused;
    watch(self);
}

/* A socket that is shut down on both sides is ready at once, even when its buffers are full: that
 * brings the loop to on_ready. */
void ttrpc_wire_fail(ttrpc_wire_t *self, const status_t *st)
{
    assert(st->code);
    if (self->is_closed || self->failure.code)
        return;
    self->failure = *st;
    if (self->fd >= 0)
        shutdown(self->fd, SHUT_RDWR);
}

int ttrpc_wire_fd(const ttrpc_wire_t *self)
{
    return self->fd;
}

pid_t ttrpc_wire_peer_pid(const ttrpc_wire_t *self)
{
    return self->fd >= 0 ? self->peer_pid : 0;
}
