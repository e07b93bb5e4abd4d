/* The order of a task's events: where one belongs. */
#include "workers/metadata/automaton.h"

#include "common/util.h"

typedef struct judge {
    const automaton_t *init, *self;
    const automaton_event_t *event;
    bool waited;
    automaton_missing_t *missing;
} judge_t;

static automaton_verdict_t hold(const judge_t *j, task_event_t kind, bool is_exec, uint32_t pid)
{
    *j->missing = (automaton_missing_t){.kind = kind, .is_exec = is_exec, .pid = pid};
    return AUTOMATON_HOLD;
}

static bool is_recent(const judge_t *j)
{
    for (size_t i = 0; i < AUTOMATON_RECENT && !j->event->is_ours; i++)
        if (j->self->recent_times[i] == j->event->time &&
            j->self->recent_kinds[i] == (uint8_t)j->event->kind)
            return true;
    return false;
}

/* The shim stamped it before one that is in the journal: it was overtaken and did not come within
 * the time that was given to it, or it is one that is there. */
static bool is_overtaken(const judge_t *j)
{
    return !j->event->is_ours && j->event->time <= j->self->last_time;
}

static automaton_verdict_t judge_start(const judge_t *j)
{
    if (j->init->phase == AUTOMATON_STARTED)
        return AUTOMATON_REPEAT;
    if (j->init->phase > AUTOMATON_STARTED)
        return AUTOMATON_LATE;
    if (j->init->phase == AUTOMATON_NONE)
        return hold(j, TASK_EVENT_CREATE, false, j->event->pid);
    return AUTOMATON_APPEND;
}

static bool misses(const automaton_t *init, automaton_count_t count)
{
    return init->known_counts[count] > init->counts[count];
}

/* That the kernel killed it for want of memory is known with its exit record at the latest, and
 * `self` knows of the exit then. */
static automaton_verdict_t judge_oom_before(const judge_t *j, const automaton_t *self)
{
    bool is_undecided = j->event->is_kill && !j->waited && !automaton_knows(self, TASK_EVENT_EXIT);
    if (is_undecided || misses(j->init, AUTOMATON_COUNT_OOM))
        return hold(j, TASK_EVENT_OOM, false, 0);
    return AUTOMATON_APPEND;
}

static automaton_verdict_t judge_init_exit(const judge_t *j)
{
    const automaton_t *init = j->init;
    if (init->phase >= AUTOMATON_EXITED)
        return AUTOMATON_REPEAT;
    if (init->phase == AUTOMATON_NONE)
        return hold(j, TASK_EVENT_CREATE, false, j->event->pid);
    /* One that was killed before its start has none. */
    if (init->phase == AUTOMATON_CREATED && (!j->waited || automaton_knows(init, TASK_EVENT_START)))
        return hold(j, TASK_EVENT_START, false, j->event->pid);
    if (init->open) {
        hold(j, TASK_EVENT_EXIT, true, 0);
        j->missing->any_open = true;
        return AUTOMATON_HOLD;
    }
    return judge_oom_before(j, init);
}

static automaton_verdict_t judge_delete(const judge_t *j)
{
    const automaton_t *init = j->init;
    if (init->phase == AUTOMATON_DELETED)
        return AUTOMATON_REPEAT;
    if (init->phase == AUTOMATON_NONE)
        return hold(j, TASK_EVENT_CREATE, false, j->event->pid);
    /* Deleting one that never ran kills it, of which most shims tell, and some after the delete. */
    bool has_run = init->phase == AUTOMATON_STARTED || automaton_knows(init, TASK_EVENT_START) ||
                   automaton_knows(init, TASK_EVENT_EXIT);
    if (init->phase < AUTOMATON_EXITED && (!j->waited || has_run))
        return hold(j, TASK_EVENT_EXIT, false, j->event->pid);
    return AUTOMATON_APPEND;
}

/* For everything that a task can only have while it runs. AUTOMATON_APPEND: it does. */
static automaton_verdict_t need_running(const judge_t *j)
{
    if (j->init->phase >= AUTOMATON_EXITED)
        return AUTOMATON_LATE;
    if (j->init->phase == AUTOMATON_NONE)
        return hold(j, TASK_EVENT_CREATE, false, 0);
    if (j->init->phase == AUTOMATON_CREATED)
        return hold(j, TASK_EVENT_START, false, 0);
    return AUTOMATON_APPEND;
}

/* The part that events of one process have in common. */
static automaton_verdict_t judge_place(const judge_t *j)
{
    automaton_verdict_t verdict = need_running(j);
    if (verdict != AUTOMATON_APPEND || !is_overtaken(j))
        return verdict;
    return j->event->time == j->self->last_time ? AUTOMATON_REPEAT : AUTOMATON_LATE;
}

static automaton_verdict_t judge_exec_added(const judge_t *j)
{
    const automaton_t *self = j->self;
    automaton_verdict_t verdict = judge_place(j);
    if (verdict != AUTOMATON_APPEND)
        return verdict;
    if (self->phase == AUTOMATON_STARTED)
        return hold(j, TASK_EVENT_EXIT, true, self->pid);
    /* The use before it may have been one whose start failed, of which no shim tells. */
    if (self->phase == AUTOMATON_CREATED && automaton_knows(self, TASK_EVENT_EXIT))
        return hold(j, TASK_EVENT_EXIT, true, self->known_pid);
    if (self->phase == AUTOMATON_CREATED && !j->event->is_ours &&
        (!j->waited || automaton_knows(self, TASK_EVENT_EXEC_STARTED)))
        return hold(j, TASK_EVENT_EXEC_STARTED, true, self->known_pid);
    return AUTOMATON_APPEND;
}

static bool is_of_use_before(const judge_t *j)
{
    return j->event->pid && j->event->pid == j->self->previous_pid;
}

static automaton_verdict_t judge_exec_started(const judge_t *j)
{
    const automaton_t *self = j->self;
    if (is_of_use_before(j) ||
        (self->phase >= AUTOMATON_STARTED && automaton_is_same(self->pid, j->event->pid)))
        return AUTOMATON_REPEAT;
    automaton_verdict_t verdict = judge_place(j);
    if (verdict != AUTOMATON_APPEND)
        return verdict;
    if (self->phase == AUTOMATON_STARTED)
        return hold(j, TASK_EVENT_EXIT, true, self->pid);
    if (self->phase != AUTOMATON_CREATED)
        return hold(j, TASK_EVENT_EXEC_ADDED, true, 0);
    /* What was added may be known to be another one. */
    bool is_other = self->known && !automaton_is_same(self->known_pid, j->event->pid) &&
                    self->known_time < j->event->time;
    if (is_other && automaton_knows(self, TASK_EVENT_EXIT))
        return hold(j, TASK_EVENT_EXIT, true, self->known_pid);
    return is_other ? hold(j, TASK_EVENT_EXEC_STARTED, true, self->known_pid) : AUTOMATON_APPEND;
}

static automaton_verdict_t judge_exec_exit(const judge_t *j)
{
    const automaton_t *self = j->self;
    bool is_mine = automaton_is_same(self->pid, j->event->pid);
    if (is_of_use_before(j) || (self->phase == AUTOMATON_EXITED && is_mine))
        return AUTOMATON_REPEAT;
    if (self->phase == AUTOMATON_STARTED && is_mine)
        return judge_oom_before(j, self);
    automaton_verdict_t verdict = judge_place(j);
    if (verdict != AUTOMATON_APPEND)
        return verdict;
    if (self->phase == AUTOMATON_STARTED)
        return hold(j, TASK_EVENT_EXIT, true, self->pid);
    if (self->phase == AUTOMATON_CREATED)
        return hold(j, TASK_EVENT_EXEC_STARTED, true, j->event->pid);
    return hold(j, TASK_EVENT_EXEC_ADDED, true, 0);
}

static automaton_verdict_t judge_turn(const judge_t *j)
{
    bool pauses = j->event->kind == TASK_EVENT_PAUSED;
    automaton_verdict_t verdict = judge_place(j);
    if (verdict != AUTOMATON_APPEND || j->init->is_paused != pauses)
        return verdict;
    bool is_known = misses(j->init, pauses ? AUTOMATON_COUNT_RESUMED : AUTOMATON_COUNT_PAUSED);
    if (j->init->is_turn_ours || (j->event->is_ours && !is_known))
        return AUTOMATON_LATE;
    return hold(j, pauses ? TASK_EVENT_RESUMED : TASK_EVENT_PAUSED, false, 0);
}

static automaton_verdict_t judge_oom(const judge_t *j)
{
    if (is_recent(j))
        return AUTOMATON_REPEAT;
    if (j->init->phase >= AUTOMATON_EXITED)
        return AUTOMATON_LATE;
    if (j->init->phase == AUTOMATON_NONE)
        return hold(j, TASK_EVENT_CREATE, false, 0);
    return !j->event->is_ours && j->event->time <= j->init->oom_time ? AUTOMATON_LATE
                                                                     : AUTOMATON_APPEND;
}

static automaton_verdict_t judge_other(const judge_t *j)
{
    if (is_recent(j))
        return AUTOMATON_REPEAT;
    if (j->init->phase == AUTOMATON_NONE)
        return hold(j, TASK_EVENT_CREATE, false, 0);
    return j->init->phase == AUTOMATON_DELETED ? AUTOMATON_LATE : AUTOMATON_APPEND;
}

automaton_verdict_t automaton_judge(const automaton_t *init, const automaton_t *self,
                                    const automaton_event_t *event, bool waited,
                                    automaton_missing_t *missing)
{
    const judge_t j = {
        .init = init, .self = self, .event = event, .waited = waited, .missing = missing};
    switch (event->kind) {
    case TASK_EVENT_CREATE:
        return init->phase == AUTOMATON_NONE ? AUTOMATON_APPEND : AUTOMATON_REPEAT;
    case TASK_EVENT_START:
        return judge_start(&j);
    case TASK_EVENT_EXIT:
        return event->is_exec ? judge_exec_exit(&j) : judge_init_exit(&j);
    case TASK_EVENT_DELETE:
        return judge_delete(&j);
    case TASK_EVENT_EXEC_ADDED:
        return judge_exec_added(&j);
    case TASK_EVENT_EXEC_STARTED:
        return judge_exec_started(&j);
    case TASK_EVENT_PAUSED:
    case TASK_EVENT_RESUMED:
        return judge_turn(&j);
    case TASK_EVENT_OOM:
        return judge_oom(&j);
    case TASK_EVENT_OTHER:
        return judge_other(&j);
    }
    return AUTOMATON_APPEND;
}
