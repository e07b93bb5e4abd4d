/* The line is written by a thread, because the calls it tells of block. */
#include "client/progress.h"

#include "common/util.h"

#include <czmq.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct progress {
    const char *what;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    bool shown;
};

static bool is_under_way; /* the program's main thread alone begins and ends */

static void *show(void *arg)
{
    progress_t *self = arg;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&self->lock);
    for (unsigned seconds = 1; !self->over; seconds++) {
        next.tv_sec++;
        while (!self->over && !pthread_cond_timedwait(&self->changed, &self->lock, &next)) {
        }
        if (self->over)
            break;
        dprintf(STDERR_FILENO, "\r\033[Kshimctl: %s: %u s", self->what, seconds);
        self->shown = true;
    }
    if (self->shown)
        dprintf(STDERR_FILENO, "\r\033[K");
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static void make_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

progress_t *progress_begin(const char *what)
{
    if (is_under_way || !isatty(STDERR_FILENO))
        return NULL;
    progress_t *self = zmalloc(sizeof *self);
    self->what = what;
    pthread_mutex_init(&self->lock, NULL);
    make_condition(&self->changed);
    /* Signals are for the main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&self->thread, NULL, show, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) { /* the work matters, not the line */
        free(self);
        return NULL;
    }
    is_under_way = true;
    return self;
}

void progress_end(progress_t **self_p)
{
    progress_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock(&self->lock);
    self->over = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
    is_under_way = false;
    *self_p = NULL;
}
