/* Signals that arrive while a container is attached, as events of the loop. */
#include "client/signals.h"

#include "common/util.h"

#include <signal.h>
#include <sys/signalfd.h>

struct signals {
    zloop_t *loop;
    int fd;
    sigset_t before;
    signals_handler_t *handler;
    void *arg;
};

static const int signals_own[] = {SIGABRT, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,   SIGTRAP,
                                  SIGSYS,  SIGCHLD, SIGPIPE, SIGURG,  SIGTSTP,  SIGTTIN,
                                  SIGTTOU, SIGCONT, SIGPROF, SIGALRM, SIGVTALRM};

bool signals_is_ending(int number)
{
    return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

static int on_readable(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    signals_t *self = arg;
    struct signalfd_siginfo info;
    (void)loop;
    (void)item;
    while (read(self->fd, &info, sizeof info) == (ssize_t)sizeof info)
        self->handler(self->arg, (int)info.ssi_signo);
    return 0;
}

signals_t *signals_new(zloop_t *loop, signals_handler_t *handler, void *arg)
{
    signals_t *self = zmalloc(sizeof *self);
    *self = (signals_t){.loop = loop, .fd = -1, .handler = handler, .arg = arg};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(signals_own); i++)
        sigdelset(&set, signals_own[i]);
    sigprocmask(SIG_BLOCK, &set, &self->before);
    self->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->fd < 0)
        abort();
    zmq_pollitem_t item = {.fd = self->fd, .events = ZMQ_POLLIN};
    zloop_poller(loop, &item, on_readable, self);
    return self;
}

void signals_destroy(signals_t **self_p)
{
    signals_t *self = *self_p;
    if (!self)
        return;
    zmq_pollitem_t item = {.fd = self->fd};
    zloop_poller_end(self->loop, &item);
    /* What came too late to be handled was not meant to kill the program at its end. */
    struct signalfd_siginfo late;
    while (read(self->fd, &late, sizeof late) == (ssize_t)sizeof late) {
    }
    close(self->fd);
    sigprocmask(SIG_SETMASK, &self->before, NULL);
    free(self);
    *self_p = NULL;
}
