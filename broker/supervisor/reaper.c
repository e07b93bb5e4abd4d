/* Processes that were orphaned below the supervisor. */
#include "broker/supervisor/reaper.h"

#include "broker/supervisor/handover.h"
#include "broker/supervisor/obituary.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/util.h"

#include <sys/queue.h>
#include <sys/wait.h>

typedef struct end {
    pid_t pid;
    uint64_t start;
    int wait_status;
    int64_t time; /* ns since the epoch */
} end_t;

typedef struct waiter {
    request_t *request; /* the worker owns it */
    pid_t pid;
    uint64_t start;
    TAILQ_ENTRY(waiter) link;
} waiter_t;

struct reaper {
    end_t ends[REAPER_KEPT_MAX]; /* a ring */
    size_t next;
    TAILQ_HEAD(, waiter) waiters;
    size_t waiter_count;
};

reaper_t *reaper_new(void)
{
    reaper_t *self = zmalloc(sizeof *self);
    TAILQ_INIT(&self->waiters);
    return self;
}

void reaper_destroy(reaper_t **self_p)
{
    reaper_t *self = *self_p;
    waiter_t *waiter;
    if (!self)
        return;
    while ((waiter = TAILQ_FIRST(&self->waiters))) {
        TAILQ_REMOVE(&self->waiters, waiter, link);
        free(waiter);
    }
    free(self);
    *self_p = NULL;
}

static void answer(request_t *request, const end_t *end)
{
    request_answer(request, &(msg_reaped_t){.wait_status = end->wait_status, .time = end->time});
}

/* What waits is its worker's. */
static request_t *take_waiter(reaper_t *self, waiter_t *waiter)
{
    request_t *request = waiter->request;
    TAILQ_REMOVE(&self->waiters, waiter, link);
    self->waiter_count--;
    free(waiter);
    return request;
}

static void answer_waiters(reaper_t *self, const end_t *end)
{
    waiter_t *waiter = TAILQ_FIRST(&self->waiters);
    while (waiter) {
        waiter_t *next = TAILQ_NEXT(waiter, link);
        if (waiter->pid == end->pid && waiter->start == end->start)
            answer(take_waiter(self, waiter), end);
        waiter = next;
    }
}

static void remember(reaper_t *self, const end_t *end)
{
    self->ends[self->next] = *end;
    self->next = (self->next + 1) % REAPER_KEPT_MAX;
}

void reaper_reap(reaper_t *self, pid_t pid)
{
    char cause[64];
    /* While it is a zombie its start can still be read. */
    end_t end = {.pid = pid, .start = proc_start_time(pid), .time = util_now_ns()};
    if (waitpid(pid, &end.wait_status, WNOHANG) != pid)
        return;
    obituary_cause(end.wait_status, cause, sizeof cause);
    log_debug("inherited process %d %s", (int)pid, cause);
    remember(self, &end);
    answer_waiters(self, &end);
}

json_t *reaper_save(const reaper_t *self)
{
    json_t *state = json_array();
    for (size_t i = 0; i < REAPER_KEPT_MAX; i++) {
        const end_t *end = &self->ends[(self->next + i) % REAPER_KEPT_MAX]; /* oldest first */
        if (end->pid)
            json_array_append_new(state,
                                  json_pack("{s:i, s:I, s:i, s:I}", "pid", (int)end->pid, "start",
                                            (json_int_t)end->start, "status", end->wait_status,
                                            "time", (json_int_t)end->time));
    }
    return state;
}

void reaper_restore(reaper_t *self, const json_t *state)
{
    const json_t *item;
    size_t i;
    json_array_foreach(state, i, item)
        remember(self, &(end_t){.pid = (pid_t)handover_integer(item, "pid"),
                                .start = (uint64_t)handover_integer(item, "start"),
                                .wait_status = (int)handover_integer(item, "status"),
                                .time = handover_integer(item, "time")});
}

static const end_t *find_end(const reaper_t *self, pid_t pid, uint64_t start)
{
    for (size_t i = 0; i < REAPER_KEPT_MAX; i++)
        if (self->ends[i].pid == pid && self->ends[i].start == start)
            return &self->ends[i];
    return NULL;
}

void reaper_ask(reaper_t *self, request_t *request, const msg_cluster_reaped_t *ask)
{
    pid_t pid = (pid_t)ask->pid;
    const end_t *end = find_end(self, pid, ask->start);
    status_t st = {.code = STATUS_OK};
    if (end) {
        answer(request, end);
        return;
    }
    if (proc_start_time(pid) != ask->start || proc_parent(pid) != getpid())
        status_set(&st, STATUS_NOT_FOUND, "process %u: not the supervisor's", ask->pid);
    else if (self->waiter_count >= REAPER_WAITERS_MAX)
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "cluster.reaped: %d wait already",
                   REAPER_WAITERS_MAX);
    if (st.code) {
        request_fail(request, &st);
        return;
    }
    waiter_t *waiter = zmalloc(sizeof *waiter);
    *waiter = (waiter_t){.request = request, .pid = pid, .start = ask->start};
    TAILQ_INSERT_TAIL(&self->waiters, waiter, link);
    self->waiter_count++;
}

bool reaper_forget(reaper_t *self, const request_t *request)
{
    waiter_t *waiter;
    TAILQ_FOREACH(waiter, &self->waiters, link)
    if (waiter->request == request)
        break;
    return waiter && take_waiter(self, waiter);
}
