/* True histories of a task. */
#include "tests/unit/task_history.h"

#include "common/util.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BEGIN         ((int64_t)1000000000 * 1000000000)
#define INIT_PID      100
#define NEVER         (-1)
#define USES_MAX      2
#define GROUP_OF_INIT 0

uint64_t history_random(uint64_t *state, uint64_t limit)
{
    /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % limit;
}

uint64_t history_first_seed(void)
{
    const char *wanted = getenv("SHIMD_TEST_SEED");
    return wanted ? strtoull(wanted, NULL, 0) : 1;
}

/* Making ----------------------------------------------------------------------------------------
 */

typedef struct maker {
    history_t *history;
    uint64_t random;
    int64_t now;
    int group;
} maker_t;

static bool chance(maker_t *self, uint64_t percent)
{
    return history_random(&self->random, 100) < percent;
}

static int64_t between_ms(maker_t *self, int64_t low, int64_t high)
{
    return low * HISTORY_MS +
           (int64_t)history_random(&self->random, (uint64_t)((high - low) * HISTORY_MS) + 1);
}

static void pass(maker_t *self)
{
    self->now += chance(self, 10) ? between_ms(self, 500, 2500) : between_ms(self, 1, 80);
}

static history_event_t *add(maker_t *self, task_event_t kind, int exec, uint32_t pid, int group)
{
    history_event_t *event = &self->history->events[self->history->count++];
    assert_true(self->history->count <= HISTORY_EVENTS_MAX);
    pass(self);
    *event = (history_event_t){.kind = kind,
                               .exec = exec,
                               .pid = pid,
                               .stamp = self->now,
                               .again = NEVER,
                               .learnt = NEVER,
                               .group = group};
    return event;
}

/* Where execs and pauses stand that go on side by side. */
typedef struct life {
    int stage[HISTORY_EXECS]; /* 0 not in use, 1 added, 2 started */
    int uses[HISTORY_EXECS];
    int group[HISTORY_EXECS];
    bool is_paused;
    int pause_group;
} life_t;

static uint32_t pid_of(const life_t *life, int exec)
{
    return 200 + (uint32_t)exec * 10 + (uint32_t)life->uses[exec];
}

static void step_exec(maker_t *self, life_t *life, int exec)
{
    if (life->is_paused && life->stage[exec] != 2)
        return;
    if (life->stage[exec] == 0) {
        if (life->uses[exec] == USES_MAX)
            return;
        life->uses[exec]++;
        life->group[exec] = ++self->group;
        add(self, TASK_EVENT_EXEC_ADDED, exec, 0, life->group[exec]);
        life->stage[exec] = 1;
    } else if (life->stage[exec] == 1) {
        add(self, TASK_EVENT_EXEC_STARTED, exec, pid_of(life, exec), life->group[exec]);
        life->stage[exec] = 2;
    } else {
        add(self, TASK_EVENT_EXIT, exec, pid_of(life, exec), life->group[exec])->code =
            (uint32_t)history_random(&self->random, 256);
        life->stage[exec] = 0;
    }
}

static void step_pause(maker_t *self, life_t *life)
{
    if (!life->is_paused)
        life->pause_group = ++self->group;
    add(self, life->is_paused ? TASK_EVENT_RESUMED : TASK_EVENT_PAUSED, -1, 0, life->pause_group);
    life->is_paused = !life->is_paused;
}

static void make_life(maker_t *self)
{
    life_t life = {.is_paused = false};
    int execs = (int)history_random(&self->random, HISTORY_EXECS + 1);
    size_t steps = history_random(&self->random, 24);
    for (size_t i = 0; i < steps && self->history->count < HISTORY_EVENTS_MAX - 12; i++) {
        if (execs && chance(self, 80))
            step_exec(self, &life, (int)history_random(&self->random, (uint64_t)execs));
        else if (chance(self, 60))
            step_pause(self, &life);
        else if (chance(self, 50))
            add(self, TASK_EVENT_OOM, -1, 0, ++self->group);
    }
    for (int exec = 0; exec < execs; exec++)
        while (life.stage[exec]) { /* init's end is theirs */
            if (life.is_paused)
                step_pause(self, &life);
            step_exec(self, &life, exec);
        }
}

/* The ways events go. A shim tries a refused one again after 1, 2, 3, ... seconds. */
static int64_t make_delay(maker_t *self)
{
    static const int tries_ms[] = {1000, 3000, 6000, 10000, 15000};
    if (chance(self, 80))
        return between_ms(self, 0, 2);
    if (self->history->is_gentle)
        return between_ms(self, 1000, 1300);
    if (chance(self, 40))
        return NEVER;
    return tries_ms[history_random(&self->random, ARRAY_SIZE(tries_ms))] * HISTORY_MS +
           between_ms(self, 0, 300);
}

/* The manager waits for every process. That one was started at all, and not killed before, can be
 * seen from the request alone when the shim does not tell it. */
static bool is_always_known(task_event_t kind)
{
    return kind == TASK_EVENT_EXIT || kind == TASK_EVENT_START;
}

/* An exec's id can only be used again after its exit is known. */
static int64_t make_exit_learnt(maker_t *self, const history_event_t *exit)
{
    const history_event_t *end = self->history->events + self->history->count;
    int64_t most = 40 * HISTORY_MS;
    for (const history_event_t *event = exit + 1; event < end; event++)
        if (event->kind == TASK_EVENT_EXEC_ADDED && event->exec == exit->exec &&
            event->stamp - exit->stamp <= most)
            most = event->stamp - exit->stamp - 1;
    return (int64_t)history_random(&self->random, (uint64_t)most);
}

static void make_way(maker_t *self, history_event_t *event)
{
    bool is_exit = event->kind == TASK_EVENT_EXIT;
    event->delay = make_delay(self);
    if (chance(self, 15))
        event->again = chance(self, 50) ? between_ms(self, 0, 5) : between_ms(self, 0, 12000);
    /* The manager waits for every process; of requests it may know, or learn when it is too late.
     */
    if (is_exit)
        event->learnt = make_exit_learnt(self, event);
    else if (is_always_known(event->kind) || self->history->is_gentle || chance(self, 70))
        /* the next request comes after it */
        event->learnt =
            (int64_t)history_random(&self->random, (uint64_t)(event[1].stamp - event->stamp));
    if (event->kind == TASK_EVENT_OOM) {
        event->learnt = NEVER;
        if (self->history->is_gentle)
            event->delay = 0;
    }
}

void history_make(history_t *ret, uint64_t seed)
{
    maker_t self = {.history = ret, .random = seed, .now = BEGIN};
    *ret = (history_t){.seed = seed};
    ret->is_gentle = chance(&self, 40);
    ret->is_undone = chance(&self, 5);
    bool is_started = !ret->is_undone && chance(&self, 90);
    add(&self, TASK_EVENT_CREATE, -1, INIT_PID, GROUP_OF_INIT);
    if (is_started) {
        add(&self, TASK_EVENT_START, -1, INIT_PID, GROUP_OF_INIT);
        make_life(&self);
    }
    self.now += 60 * HISTORY_MS;
    history_event_t *exit = add(&self, TASK_EVENT_EXIT, -1, INIT_PID, GROUP_OF_INIT);
    exit->code = (uint32_t)history_random(&self.random, 256);
    add(&self, TASK_EVENT_DELETE, -1, INIT_PID, GROUP_OF_INIT);
    history_event_t *delete = &ret->events[ret->count - 1];
    delete[1].stamp = delete->stamp + HISTORY_MS; /* for make_way only */
    for (size_t i = 0; i < ret->count; i++)
        make_way(&self, &ret->events[i]);
    delete->learnt = NEVER;
    if (!is_started) {
        exit->learnt = NEVER;
        if (chance(&self, 50)) { /* a shim may tell of it after the delete */
            exit->stamp = delete->stamp;
            delete->stamp -= between_ms(&self, 1, 50);
        }
    }
    ret->end = self.now + (ret->is_gentle ? 1600 * HISTORY_MS : between_ms(&self, 41, 1500));
}

/* Steps -----------------------------------------------------------------------------------------
 */

static int compare_steps(const void *a, const void *b)
{
    const history_step_t *one = a, *other = b;
    if (one->time != other->time)
        return one->time < other->time ? -1 : 1;
    if (one->event != other->event)
        return one->event < other->event ? -1 : 1;
    return (one->act > other->act) - (one->act < other->act);
}

static void add_step(history_step_t *steps, size_t *count, history_act_t act,
                     const history_event_t *event, int64_t after)
{
    if (after >= 0)
        steps[(*count)++] =
            (history_step_t){.time = event->stamp + after, .act = act, .event = event};
}

size_t history_steps(const history_t *self, history_step_t steps[HISTORY_STEPS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        const history_event_t *event = &self->events[i];
        add_step(steps, &count, HISTORY_ARRIVES, event, event->delay);
        if (event->delay >= 0 && event->again >= 0)
            add_step(steps, &count, HISTORY_ARRIVES, event, event->delay + event->again);
        add_step(steps, &count, HISTORY_LEARNT, event, event->learnt);
    }
    steps[count++] = (history_step_t){.time = self->end, .act = HISTORY_ENDS};
    qsort(steps, count, sizeof *steps, compare_steps);
    return count;
}

/* Checking: the order once more, in another way -------------------------------------------------
 */

typedef struct reader {
    bool is_created, is_started, has_exited, is_deleted, is_paused;
    int stage[HISTORY_EXECS];
    uint32_t pid[HISTORY_EXECS];
} reader_t;

static const char *read_exec(reader_t *self, const history_entry_t *entry)
{
    int *stage = &self->stage[entry->exec];
    if (!self->is_started || self->has_exited)
        return "an exec's event outside of its task's life";
    switch (entry->kind) {
    case TASK_EVENT_EXEC_ADDED:
        if (*stage == 2)
            return "added while it runs";
        *stage = 1;
        return NULL;
    case TASK_EVENT_EXEC_STARTED:
        if (*stage != 1)
            return "started without being added";
        *stage = 2;
        self->pid[entry->exec] = entry->pid;
        return NULL;
    default:
        if (*stage != 2 || self->pid[entry->exec] != entry->pid)
            return "an exec's exit without its start";
        *stage = 0;
        return NULL;
    }
}

static const char *read_init(reader_t *self, const history_entry_t *entry)
{
    switch (entry->kind) {
    case TASK_EVENT_CREATE:
        if (self->is_created)
            return "created twice";
        self->is_created = true;
        return NULL;
    case TASK_EVENT_START:
        if (self->is_started || self->has_exited)
            return "started twice, or after the exit";
        self->is_started = true;
        return NULL;
    case TASK_EVENT_EXIT:
        for (int i = 0; i < HISTORY_EXECS; i++)
            if (self->stage[i] == 2)
                return "init's exit before an exec's";
        if (self->has_exited)
            return "two exits";
        self->has_exited = true;
        return NULL;
    case TASK_EVENT_DELETE:
        self->is_deleted = true;
        return self->is_started && !self->has_exited ? "deleted before the exit" : NULL;
    case TASK_EVENT_OOM:
        return self->has_exited ? "oom after the exit" : NULL;
    default:
        if (!self->is_started || self->has_exited)
            return "paused or resumed outside of its life";
        if (self->is_paused == (entry->kind == TASK_EVENT_PAUSED))
            return "paused and resumed not in turn";
        self->is_paused = !self->is_paused;
        return NULL;
    }
}

static const char *check_order(const history_outcome_t *outcome)
{
    reader_t reader = {.is_created = false};
    for (size_t i = 0; i < outcome->count; i++) {
        const history_entry_t *entry = &outcome->entries[i];
        if (reader.is_deleted)
            return "something after the delete";
        if (!reader.is_created && entry->kind != TASK_EVENT_CREATE)
            return "something before the create";
        const char *wrong =
            entry->exec >= 0 ? read_exec(&reader, entry) : read_init(&reader, entry);
        if (wrong)
            return wrong;
    }
    return reader.is_created && !reader.is_deleted ? "no delete" : NULL;
}

static size_t count_entries(const history_outcome_t *outcome, const history_event_t *event)
{
    size_t count = 0;
    for (size_t i = 0; i < outcome->count; i++) {
        const history_entry_t *entry = &outcome->entries[i];
        count +=
            entry->kind == event->kind && entry->exec == event->exec && entry->pid == event->pid;
    }
    return count;
}

static size_t count_events(const history_t *self, const history_event_t *event)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->events[i].kind == event->kind && self->events[i].exec == event->exec &&
                 self->events[i].pid == event->pid;
    return count;
}

static bool is_started(const history_t *self)
{
    return self->count > 1 && self->events[1].kind == TASK_EVENT_START;
}

/* Whether it must be there: nobody knows of an oom or a pause that never came here. */
static bool is_certain(const history_t *self, const history_event_t *event)
{
    bool is_process_end = event->kind == TASK_EVENT_EXIT || event->kind == TASK_EVENT_DELETE;
    if (self->is_undone)
        return false;
    if (!is_started(self) && is_process_end)
        return self->is_gentle || event->kind == TASK_EVENT_DELETE;
    return self->is_gentle || (event->kind != TASK_EVENT_OOM && event->kind != TASK_EVENT_PAUSED &&
                               event->kind != TASK_EVENT_RESUMED);
}

static const char *check_code(const history_outcome_t *outcome, const history_event_t *event)
{
    for (size_t i = 0; i < outcome->count; i++) {
        const history_entry_t *entry = &outcome->entries[i];
        if (entry->kind == TASK_EVENT_EXIT && entry->exec == event->exec &&
            entry->pid == event->pid && (entry->is_unknown || entry->code != event->code))
            return "not the true exit code";
    }
    return NULL;
}

static const char *check_entry(const history_t *self, const history_entry_t *entry)
{
    const history_event_t event = {.kind = entry->kind, .exec = entry->exec, .pid = entry->pid};
    if (!count_events(self, &event))
        return "an event that never happened";
    if (entry->is_ours && self->is_gentle && !self->is_undone)
        return "written although the shim's own came";
    return NULL;
}

const char *history_check(const history_t *self, const history_outcome_t *outcome)
{
    const char *wrong = check_order(outcome);
    for (size_t i = 0; i < self->count && !wrong; i++) {
        const history_event_t *event = &self->events[i];
        size_t there = count_entries(outcome, event), wanted = count_events(self, event);
        if (there > wanted)
            return "an event more often than it happened";
        if (there < wanted && is_certain(self, event))
            return event->kind == TASK_EVENT_EXIT ? "an exit is missing" : "an event is missing";
        if (event->kind == TASK_EVENT_EXIT && is_started(self))
            wrong = check_code(outcome, event);
    }
    for (size_t i = 0; i < outcome->count && !wrong; i++)
        wrong = check_entry(self, &outcome->entries[i]);
    return wrong;
}

/* Shrinking -------------------------------------------------------------------------------------
 */

static void drop_group(history_t *self, int group)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->events[i].group != group)
            self->events[kept++] = self->events[i];
    self->count = kept;
}

/* One way to make it simpler; false when there is no such way. */
static bool simplify(history_t *self, size_t way)
{
    size_t index = way / 4;
    if (index >= self->count)
        return false;
    history_event_t *event = &self->events[index];
    switch (way % 4) {
    case 0:
        if (event->group != GROUP_OF_INIT)
            drop_group(self, event->group);
        break;
    case 1:
        event->delay = 0;
        break;
    case 2:
        event->again = NEVER;
        break;
    default:
        if (!is_always_known(event->kind) && !self->is_gentle)
            event->learnt = NEVER;
        break;
    }
    return true;
}

static const char *outcome_of(const history_t *self, history_run_t *run, void *arg)
{
    history_outcome_t outcome = {.count = 0};
    run(arg, self, &outcome);
    return history_check(self, &outcome);
}

static void shrink(history_t *self, const char *wrong, history_run_t *run, void *arg)
{
    bool progress = true;
    while (progress) {
        progress = false;
        for (size_t way = 0;; way++) {
            history_t simpler = *self;
            if (!simplify(&simpler, way))
                break;
            if (memcmp(&simpler, self, sizeof simpler) && outcome_of(&simpler, run, arg) == wrong) {
                *self = simpler;
                progress = true;
            }
        }
    }
}

static const char *const kind_names[] = {"create",     "start",        "exit",   "delete",
                                         "exec-added", "exec-started", "paused", "resumed",
                                         "oom",        "other"};

static double seconds(const history_t *self, int64_t time)
{
    return (double)(time - self->events[0].stamp) / 1e9;
}

static void print(const history_t *self, history_run_t *run, void *arg)
{
    static const char *const acts[] = {"arrives", "is learnt", "the run ends"};
    history_outcome_t outcome = {.count = 0};
    history_step_t steps[HISTORY_STEPS_MAX];
    size_t count = history_steps(self, steps);
    for (size_t i = 0; i < count; i++) {
        const history_event_t *event = steps[i].event;
        print_error("  %7.3f s  %s", seconds(self, steps[i].time), acts[steps[i].act]);
        if (event)
            print_error(": %s exec %d pid %u code %u, of %.3f s", kind_names[event->kind],
                        event->exec, event->pid, event->code, seconds(self, event->stamp));
        print_error("\n");
    }
    run(arg, self, &outcome);
    print_error("  in the journal:\n");
    for (size_t i = 0; i < outcome.count; i++)
        print_error("    %s exec %d pid %u code %u%s%s\n", kind_names[outcome.entries[i].kind],
                    outcome.entries[i].exec, outcome.entries[i].pid, outcome.entries[i].code,
                    outcome.entries[i].is_ours ? " (ours)" : "",
                    outcome.entries[i].is_unknown ? " unknown" : "");
}

void history_prove(const history_t *self, history_run_t *run, void *arg)
{
    const char *wrong = outcome_of(self, run, arg);
    if (!wrong)
        return;
    history_t small = *self;
    shrink(&small, wrong, run, arg);
    print_error("seed 0x%" PRIx64 "%s%s: %s; in small:\n", self->seed,
                self->is_gentle ? ", gentle" : "", self->is_undone ? ", undone" : "", wrong);
    print(&small, run, arg);
    fail();
}
