/* Waits for more of a log. */
#include "client/log_follow.h"

#include "common/util.h"

#include <errno.h>
#include <sys/inotify.h>

#define TICK_MS   100  /* looks for the end, and for a directory that is not there yet */
#define EVENT_MAX 4096 /* bytes of inotify events taken at once; what they say does not matter */

typedef struct follow {
    log_reader_t *reader;
    log_follow_read_t *read;
    void *arg;
    int inotify;
    bool watches;     /* inotify has the directory */
    bool ended;       /* the process has */
    bool over;        /* nothing more is wanted */
    int64_t moved_at; /* util_monotonic_us() of the exit, or of when the log grew last after it */
    status_t st;
} follow_t;

static void watch_dir(follow_t *self)
{
    int dir = log_reader_dir(self->reader);
    if (self->watches || dir < 0)
        return;
    AUTO_FREE char *path = util_format("/proc/self/fd/%d", dir);
    self->watches = inotify_add_watch(self->inotify, path, IN_MODIFY | IN_CREATE) >= 0;
}

/* -1 ends the loop. */
static int read_more(follow_t *self)
{
    watch_dir(self); /* before reading, so that nothing falls in between */
    if (!self->read(self->arg))
        self->over = true;
    return self->over ? -1 : 0;
}

static int on_inotify(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    follow_t *self = arg;
    char events[EVENT_MAX] __attribute__((aligned(__alignof__(struct inotify_event))));
    (void)loop;
    (void)item;
    while (read(self->inotify, events, sizeof events) > 0)
        self->moved_at = util_monotonic_us();
    return read_more(self);
}

/* Whether there is nothing to wait for any more; -1 or 0 for the loop. */
static int look_for_end(follow_t *self)
{
    /* A writer that is gone before the last reading has nothing to add after it. */
    bool written = log_reader_is_written(self->reader);
    if (!self->ended)
        return self->watches ? 0 : read_more(self);
    if (read_more(self))
        return -1;
    int64_t quiet_ms = (util_monotonic_us() - self->moved_at) / 1000;
    return written && quiet_ms < LOG_FOLLOW_QUIET_MS ? 0 : -1;
}

static int on_tick(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    return look_for_end(arg);
}

/* The silence counts from the exit, which may have been long ago. */
static void on_waited(void *arg, const status_t *st, const void *answer)
{
    follow_t *self = arg;
    const msg_exited_t *exited = answer;
    int64_t ago_ns = st->code ? 0 : util_now_ns() - exited->exited_at;
    self->ended = true;
    self->moved_at = util_monotonic_us() - (ago_ns > 0 ? ago_ns / 1000 : 0);
    if (st->code && st->code != STATUS_NOT_FOUND)
        self->st = *st;
}

status_code_t log_follow(session_t *session, log_reader_t *reader, const msg_task_wait_t *ask,
                         log_follow_read_t *read, void *arg, status_t *st)
{
    follow_t self = {.reader = reader, .read = read, .arg = arg};
    link_t *link = session_link(session, st);
    if (!link)
        return st->code;
    AUTO_CLOSE int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (inotify < 0)
        return status_errno(st, errno, "watch the log");
    self.inotify = inotify;
    zloop_t *loop = session_loop(session);
    zmq_pollitem_t item = {.fd = inotify, .events = ZMQ_POLLIN};
    zloop_poller(loop, &item, on_inotify, &self);
    int timer = zloop_timer(loop, TICK_MS, 0, on_tick, &self);
    msg_uuid_t id =
        link_ask(link, MSG_task_wait, ask, session_ns(session), -1, NULL, on_waited, &self);
    if (!read_more(&self))
        zloop_start(loop);
    link_forget(link, &id);
    zloop_timer_end(loop, timer);
    zloop_poller_end(loop, &item);
    *st = self.st;
    return st->code;
}
