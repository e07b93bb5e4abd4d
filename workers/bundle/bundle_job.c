/* Work on bundles, one at a time for each bundle, with the slow parts in short-lived children. */
#include "workers/bundle/bundle_job.h"

#include "common/io_timer.h"
#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>

#define FIRST_FD (STDERR_FILENO + 1)

typedef struct job {
    bundle_jobs_t *jobs;
    char *key, *what;
    const bundle_job_ops_t *ops;
    void *arg;
    io_timer_t deadline;
    bool is_begun;    /* `here` has asked for a child */
    bool is_answered; /* `done` was called; only the child's end is waited for */
    int pidfd, pipe;  /* -1 while there is no child */
    TAILQ_ENTRY(job) link;
} job_t;

struct bundle_jobs {
    io_set_t *io;
    int keep[BUNDLE_JOB_KEEP_MAX];
    size_t keep_count;
    TAILQ_HEAD(, job) list; /* in order of arrival; owns them */
    size_t count, children;
    bool is_pumping; /* a job's `done` may add another one */
};

static void pump(bundle_jobs_t *self);

static void job_destroy(job_t **self_p)
{
    job_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->jobs->io, &self->deadline);
    io_set_remove(self->jobs->io, self->pidfd);
    util_close(&self->pidfd);
    util_close(&self->pipe);
    free(self->key);
    free(self->what);
    free(self);
    *self_p = NULL;
}

static void answer(job_t *self, const status_t *st)
{
    if (self->is_answered)
        return;
    self->is_answered = true;
    self->ops->done(self->arg, st);
}

static void finish(job_t *self, const status_t *st)
{
    answer(self, st);
    TAILQ_REMOVE(&self->jobs->list, self, link);
    self->jobs->count--;
    job_destroy(&self);
}

/* The child --------------------------------------------------------------------------------------
 */

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return x < y ? -1 : x > y;
}

/* Sockets that stay open in a child which hangs would hide our death from the broker, and locks
 * would outlive us. */
static void close_all_but(const bundle_jobs_t *jobs, int pipe)
{
    int keep[BUNDLE_JOB_KEEP_MAX + 1];
    size_t count = jobs->keep_count;
    memcpy(keep, jobs->keep, count * sizeof *keep);
    keep[count++] = pipe;
    qsort(keep, count, sizeof *keep, compare_ints);
    unsigned from = FIRST_FD;
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)keep[i] > from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    close_range(from, ~0U, 0);
}

static void __attribute__((noreturn)) run_child(const job_t *self, int pipe, pid_t parent)
{
    /* A successor of ours must not find a child still at work on the same bundle. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    close_all_but(self->jobs, pipe);
    status_t st = {0};
    self->ops->child(self->arg, &st);
    ssize_t written = write(pipe, &st, sizeof st); /* smaller than PIPE_BUF: whole or not at all */
    _exit(written == (ssize_t)sizeof st ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void read_outcome(job_t *self, const siginfo_t *ended, status_t *st)
{
    if (read(self->pipe, st, sizeof *st) == (ssize_t)sizeof *st)
        return;
    bool is_exit = ended->si_code == CLD_EXITED;
    status_set(st, STATUS_INTERNAL, "%s: its process ended with %s %d", self->what,
               is_exit ? "exit code" : "signal", ended->si_status);
}

static void on_child_end(void *arg, int fd, uint32_t events)
{
    job_t *self = arg;
    bundle_jobs_t *jobs = self->jobs;
    siginfo_t ended = {0};
    (void)events;
    if (waitid(P_PIDFD, (id_t)fd, &ended, WEXITED | WNOHANG) == 0 && ended.si_pid == 0)
        return;
    status_t st;
    read_outcome(self, &ended, &st);
    if (self->is_answered)
        log_info("%s: its process ended at last", self->what);
    jobs->children--;
    finish(self, &st);
    pump(jobs);
}

static void give_up(pid_t pid, int why, job_t *self, status_t *st)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    status_errno(st, why, "%s: watch its process", self->what);
    util_close(&self->pidfd);
    util_close(&self->pipe);
}

static status_code_t start_child(job_t *self, status_t *st)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return status_errno(st, errno, "%s: make a pipe", self->what);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        run_child(self, ends[1], parent);
    int why = errno;
    close(ends[1]);
    self->pipe = ends[0];
    if (pid < 0) {
        util_close(&self->pipe);
        return status_errno(st, why, "%s: fork", self->what);
    }
    self->pidfd = pidfd_open(pid, 0);
    if (self->pidfd < 0 || io_set_add(self->jobs->io, self->pidfd, EPOLLIN, on_child_end, self)) {
        give_up(pid, errno, self, st);
        return st->code;
    }
    self->jobs->children++;
    return STATUS_OK;
}

/* Turns ------------------------------------------------------------------------------------------
 */

/* Whether no earlier job, not even one that only waits for its child's end, has the same key. */
static bool is_first_of_key(job_t *self)
{
    for (job_t *at = TAILQ_FIRST(&self->jobs->list); at != self; at = TAILQ_NEXT(at, link))
        if (!strcmp(at->key, self->key))
            return false;
    return true;
}

static job_t *next_job(bundle_jobs_t *self)
{
    job_t *job;
    TAILQ_FOREACH(job, &self->list, link)
    {
        bool waits_for_slot = job->is_begun && self->children >= BUNDLE_JOB_CHILDREN_MAX;
        if (job->pidfd < 0 && !waits_for_slot && is_first_of_key(job))
            return job;
    }
    return NULL;
}

/* One step of a job whose turn it is. */
static void step(job_t *self)
{
    status_t st = {0};
    if (!self->is_begun) {
        if (self->ops->here(self->arg, &st) == BUNDLE_JOB_DONE)
            finish(self, &st);
        else
            self->is_begun = true;
    } else if (start_child(self, &st)) {
        finish(self, &st);
    }
}

static void pump(bundle_jobs_t *self)
{
    if (self->is_pumping)
        return;
    self->is_pumping = true;
    for (job_t *job; (job = next_job(self));)
        step(job);
    self->is_pumping = false;
}

static void on_deadline(void *arg)
{
    job_t *self = arg;
    bundle_jobs_t *jobs = self->jobs;
    status_t st;
    if (self->pidfd < 0) {
        status_set(&st, STATUS_DEADLINE_EXCEEDED, "%s: waited too long for its turn", self->what);
        finish(self, &st);
        pump(jobs);
        return;
    }
    status_set(&st, STATUS_DEADLINE_EXCEEDED, "%s: took too long and was stopped", self->what);
    if (pidfd_send_signal(self->pidfd, SIGKILL, NULL, 0))
        log_warn("%s: kill its process: %s", self->what, strerror(errno));
    answer(self, &st);
}

static job_t *job_new(bundle_jobs_t *jobs, const char *key, const char *what, int64_t deadline,
                      const bundle_job_ops_t *ops, void *arg)
{
    job_t *self = zmalloc(sizeof *self);
    *self = (job_t){.jobs = jobs,
                    .key = util_strdup(key),
                    .what = util_strdup(what),
                    .ops = ops,
                    .arg = arg,
                    .pidfd = -1,
                    .pipe = -1};
    io_timer_init(&self->deadline, on_deadline, self);
    io_timer_in(jobs->io, &self->deadline, deadline - util_now_ms());
    return self;
}

void bundle_jobs_add(bundle_jobs_t *self, const char *key, const char *what, int64_t deadline,
                     const bundle_job_ops_t *ops, void *arg)
{
    if (self->count >= BUNDLE_JOB_JOBS_MAX) {
        status_t st;
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "%s: more than %d requests wait", what,
                   BUNDLE_JOB_JOBS_MAX);
        ops->done(arg, &st);
        return;
    }
    job_t *job = job_new(self, key, what, deadline, ops, arg);
    TAILQ_INSERT_TAIL(&self->list, job, link);
    self->count++;
    pump(self);
}

bundle_jobs_t *bundle_jobs_new(io_set_t *io, const int *keep, size_t keep_count)
{
    assert(keep_count <= BUNDLE_JOB_KEEP_MAX);
    bundle_jobs_t *self = zmalloc(sizeof *self);
    self->io = io;
    self->keep_count = keep_count;
    for (size_t i = 0; i < keep_count; i++)
        self->keep[i] = keep[i];
    TAILQ_INIT(&self->list);
    return self;
}

void bundle_jobs_destroy(bundle_jobs_t **self_p)
{
    bundle_jobs_t *self = *self_p;
    if (!self)
        return;
    self->is_pumping = true; /* nothing starts any more */
    for (job_t *job; (job = TAILQ_FIRST(&self->list));) {
        if (job->pidfd >= 0)
            pidfd_send_signal(job->pidfd, SIGKILL, NULL, 0);
        finish(job, NULL);
    }
    free(self);
    *self_p = NULL;
}

size_t bundle_jobs_count(const bundle_jobs_t *self)
{
    return self->count;
}

size_t bundle_jobs_children(const bundle_jobs_t *self)
{
    return self->children;
}
