/* The order of a task's events: what is in the journal, and what is known besides. */
#include "workers/metadata/automaton.h"

#include "common/util.h"

#define NS_PER_MS   1000000
#define KNOWN(kind) (1u << (kind))

bool automaton_knows(const automaton_t *self, task_event_t kind)
{
    return self->known & KNOWN(kind);
}

bool automaton_is_same(uint32_t a, uint32_t b)
{
    return !a || !b || a == b;
}

/* Changing --------------------------------------------------------------------------------------
 */

static void remember(automaton_t *self, const automaton_event_t *event)
{
    bool is_turn = event->kind == TASK_EVENT_PAUSED || event->kind == TASK_EVENT_RESUMED;
    bool is_counted = is_turn || event->kind == TASK_EVENT_EXEC_ADDED;
    if (!event->is_ours && (event->kind == TASK_EVENT_OOM || event->kind == TASK_EVENT_OTHER)) {
        self->recent_times[self->recent_next] = event->time;
        self->recent_kinds[self->recent_next] = (uint8_t)event->kind;
        self->recent_next = (uint8_t)((self->recent_next + 1) % AUTOMATON_RECENT);
    }
    /* Starts and exits are known by their process ids. */
    if ((is_counted || (event->is_exec && !event->is_ours)) && event->time > self->last_time)
        self->last_time = event->time;
}

static void set_open(automaton_t *init, automaton_t *exec, bool is_open)
{
    if (exec->is_open != is_open)
        init->open += is_open ? 1u : -1u;
    exec->is_open = is_open;
}

static void forget(automaton_t *self, task_event_t kind)
{
    self->known &= (uint8_t)~KNOWN(kind);
}

static void apply_exec(automaton_t *init, automaton_t *self, const automaton_event_t *event)
{
    bool is_known = automaton_is_same(self->known_pid, event->pid);
    switch (event->kind) {
    case TASK_EVENT_EXEC_ADDED:
        self->phase = AUTOMATON_CREATED;
        if (self->pid)
            self->previous_pid = self->pid;
        self->pid = 0;
        self->counts[AUTOMATON_COUNT_ADDED]++;
        return;
    case TASK_EVENT_EXEC_STARTED:
        self->phase = AUTOMATON_STARTED;
        self->pid = event->pid;
        if (is_known)
            forget(self, TASK_EVENT_EXEC_STARTED);
        set_open(init, self, true);
        return;
    case TASK_EVENT_EXIT:
        self->phase = AUTOMATON_EXITED;
        if (event->pid)
            self->pid = event->pid;
        if (is_known) {
            forget(self, TASK_EVENT_EXEC_STARTED);
            forget(self, TASK_EVENT_EXIT);
        }
        set_open(init, self, self->known);
        return;
    default:
        return;
    }
}

static void apply_turn(automaton_t *init, const automaton_event_t *event)
{
    init->is_paused = event->kind == TASK_EVENT_PAUSED;
    init->is_turn_ours = event->is_ours;
    init->counts[init->is_paused ? AUTOMATON_COUNT_PAUSED : AUTOMATON_COUNT_RESUMED]++;
}

static const automaton_phase_t init_phases[] = {[TASK_EVENT_CREATE] = AUTOMATON_CREATED,
                                                [TASK_EVENT_START] = AUTOMATON_STARTED,
                                                [TASK_EVENT_EXIT] = AUTOMATON_EXITED,
                                                [TASK_EVENT_DELETE] = AUTOMATON_DELETED};

static void apply_init(automaton_t *init, const automaton_event_t *event)
{
    if (event->kind < ARRAY_SIZE(init_phases)) {
        init->phase = (uint8_t)init_phases[event->kind];
        forget(init, event->kind);
        if (!init->pid)
            init->pid = event->pid;
    } else if (event->kind == TASK_EVENT_OOM) {
        init->counts[AUTOMATON_COUNT_OOM]++;
        if (event->is_ours)
            init->oom_time = event->time;
    } else if (event->kind != TASK_EVENT_OTHER) {
        apply_turn(init, event);
    }
}

void automaton_apply(automaton_t *init, automaton_t *self, const automaton_event_t *event)
{
    if (event->is_exec)
        apply_exec(init, self, event);
    else
        apply_init(init, event);
    remember(self, event);
}

/* What is known besides -------------------------------------------------------------------------
 */

static automaton_count_t count_of(task_event_t kind)
{
    switch (kind) {
    case TASK_EVENT_PAUSED:
        return AUTOMATON_COUNT_PAUSED;
    case TASK_EVENT_RESUMED:
        return AUTOMATON_COUNT_RESUMED;
    case TASK_EVENT_OOM:
        return AUTOMATON_COUNT_OOM;
    case TASK_EVENT_EXEC_ADDED:
        return AUTOMATON_COUNT_ADDED;
    default:
        return AUTOMATON_COUNTS; /* there is one, or its process id tells them apart */
    }
}

/* An exec's start or exit is in the journal. */
static bool has_passed(const automaton_t *self, const automaton_event_t *event)
{
    automaton_phase_t phase = event->kind == TASK_EVENT_EXIT ? AUTOMATON_EXITED : AUTOMATON_STARTED;
    return (event->pid && event->pid == self->previous_pid) ||
           (self->phase >= phase && automaton_is_same(self->pid, event->pid));
}

static bool learn_exec(automaton_t *init, automaton_t *self, const automaton_event_t *event)
{
    if (!event->pid || has_passed(self, event))
        return false;
    if (self->known && self->known_pid != event->pid)
        return true; /* one use at a time: it is told again when the other one is written */
    if (!self->known)
        self->known_time = event->time;
    self->known |= (uint8_t)KNOWN(event->kind);
    self->known_pid = event->pid;
    set_open(init, self, true);
    return true;
}

bool automaton_learn(automaton_t *init, automaton_t *self, const automaton_event_t *event,
                     uint32_t *ret_index)
{
    automaton_count_t count = count_of(event->kind);
    *ret_index = 0;
    if (init->phase >= AUTOMATON_EXITED && event->kind != TASK_EVENT_DELETE)
        return false;
    if (count < AUTOMATON_COUNTS) {
        /* How many ooms there were is told by nobody: one stands for all of them. */
        bool is_oom = count == AUTOMATON_COUNT_OOM;
        self->known_counts[count] = is_oom ? 1 : self->known_counts[count] + 1;
        *ret_index = self->known_counts[count];
        return self->counts[count] < *ret_index;
    }
    if (event->is_exec)
        return learn_exec(init, self, event);
    if (!automaton_expects(init, self, event, 0))
        return false;
    self->known |= (uint8_t)KNOWN(event->kind);
    if (!self->pid)
        self->pid = event->pid;
    return true;
}

bool automaton_expects(const automaton_t *init, const automaton_t *self,
                       const automaton_event_t *event, uint32_t index)
{
    automaton_count_t count = count_of(event->kind);
    if (event->kind != TASK_EVENT_DELETE && init->phase >= AUTOMATON_EXITED)
        return false;
    if (count < AUTOMATON_COUNTS)
        return self->counts[count] < index;
    if (event->is_exec)
        return !has_passed(self, event);
    return event->kind < ARRAY_SIZE(init_phases) && init->phase < init_phases[event->kind];
}

/* Waiting ---------------------------------------------------------------------------------------
 */

int64_t automaton_wait_ns(int64_t time, int64_t now)
{
    static const int64_t tries_ms[] = {1000, 3000, 6000, 10000, 15000};
    const int64_t margin_ms = 500;
    int64_t age = now - time;
    for (size_t i = 0; i < ARRAY_SIZE(tries_ms) && age >= 0; i++) {
        int64_t left = tries_ms[i] * NS_PER_MS - age;
        if (left > 0) {
            int64_t wait = left + margin_ms * NS_PER_MS;
            return wait > AUTOMATON_WAIT_MIN_NS ? wait : AUTOMATON_WAIT_MIN_NS;
        }
    }
    return AUTOMATON_WAIT_MIN_NS; /* its shim has given up all that is as old */
}
