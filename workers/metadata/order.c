/* A run's events into the journal in their order. */
#include "workers/metadata/order.h"

#include "common/util.h"

#include <stdio.h>
#include <string.h>

/* Any way to the end of a run is shorter. */
#define STEPS_MAX 64

static void load(const order_t *self, const order_item_t *item, automaton_t *ret)
{
    if (item->event.is_exec)
        self->ops->load(self->arg, item->exec_id, ret);
    else
        *ret = self->init;
}

static automaton_verdict_t judge(const order_t *self, const order_item_t *item, bool waited,
                                 automaton_missing_t *missing)
{
    automaton_t state;
    load(self, item, &state);
    return automaton_judge(&self->init, &state, &item->event, waited, missing);
}

static bool is_expected(const order_t *self, const order_item_t *item)
{
    automaton_t state;
    load(self, item, &state);
    return automaton_expects(&self->init, &state, &item->event, item->index);
}

static void release(order_t *self, order_item_t *item)
{
    self->held--;
    self->ops->release(self->arg, item);
}

/* What is held of the next use of that exec's id, if anything is. */
static void learn_next(order_t *self, const char *exec_id, automaton_t *state)
{
    order_item_t held;
    uint32_t index;
    for (uint64_t at = 0; self->ops->next_held(self->arg, at, &held); at = held.number)
        if (held.event.is_ours && held.event.kind != TASK_EVENT_EXEC_ADDED &&
            !strcmp(held.exec_id, exec_id))
            automaton_learn(&self->init, state, &held.event, &index);
}

static void append(order_t *self, const order_item_t *item)
{
    if (item->event.is_exec) {
        automaton_t state;
        self->ops->load(self->arg, item->exec_id, &state);
        automaton_apply(&self->init, &state, &item->event);
        if (item->event.kind == TASK_EVENT_EXIT && self->held)
            learn_next(self, item->exec_id, &state);
        self->ops->store(self->arg, item->exec_id, &state);
    } else {
        automaton_apply(&self->init, &self->init, &item->event);
    }
    self->ops->append(self->arg, item);
}

/* What is held -----------------------------------------------------------------------------------
 */

static bool ends_run(const order_item_t *item)
{
    return !item->event.is_exec &&
           (item->event.kind == TASK_EVENT_EXIT || item->event.kind == TASK_EVENT_DELETE);
}

static bool is_turn(const order_item_t *item)
{
    return item->event.kind == TASK_EVENT_PAUSED || item->event.kind == TASK_EVENT_RESUMED;
}

/* What `held` stands for was known before the shim stamped `item`, of which there can only be
 * another one by then: another pause, another use of an exec's id. */
static bool is_of_round_before(const order_item_t *held, const order_item_t *item)
{
    if (!held->event.is_ours || item->event.is_ours || held->event.time >= item->event.time ||
        strcmp(held->exec_id, item->exec_id))
        return false;
    if (is_turn(item))
        return is_turn(held) && held->event.kind != item->event.kind;
    return item->event.kind == TASK_EVENT_EXEC_ADDED && held->event.kind != TASK_EVENT_EXEC_ADDED;
}

/* True when `held` has its place before `item`: they are of one process and the shim stamped it
 * earlier, or `item` is the end of all. */
static bool goes_before(const order_item_t *held, const order_item_t *item)
{
    bool is_earlier =
        held->event.is_ours || item->event.is_ours || held->event.time < item->event.time;
    if (held->number == item->number)
        return false;
    /* Shims look at the cgroup when they have told of the exit: their stamps say nothing. */
    if (ends_run(held) && item->event.kind == TASK_EVENT_OOM)
        return false;
    if (ends_run(item) && ends_run(held))
        return held->event.kind == TASK_EVENT_EXIT && item->event.kind == TASK_EVENT_DELETE;
    if (!is_earlier || ends_run(item))
        return is_earlier;
    if (held->event.is_ours || item->event.is_ours)
        return is_of_round_before(held, item);
    return !strcmp(held->exec_id, item->exec_id);
}

/* The earliest of those that go before it. */
static bool find_before(const order_t *self, const order_item_t *item, order_item_t *ret)
{
    order_item_t held;
    bool found = false;
    if (!self->held)
        return false;
    for (uint64_t at = 0; self->ops->next_held(self->arg, at, &held); at = held.number)
        if (goes_before(&held, item) && (!found || held.event.time < ret->event.time)) {
            *ret = held;
            found = true;
        }
    return found;
}

/* What was learnt and has come. */
static void drop_told(order_t *self)
{
    order_item_t item;
    for (uint64_t at = 0; self->held && self->ops->next_held(self->arg, at, &item);
         at = item.number)
        if (item.event.is_ours && !is_expected(self, &item))
            release(self, &item);
}

/* Lets one of those that can go on do so; false when there is none. */
static bool settle_once(order_t *self)
{
    order_item_t item, before;
    automaton_missing_t missing;
    drop_told(self);
    for (uint64_t at = 0; self->held && self->ops->next_held(self->arg, at, &item);
         at = item.number) {
        if (item.event.is_ours || find_before(self, &item, &before))
            continue;
        automaton_verdict_t verdict = judge(self, &item, false, &missing);
        if (verdict == AUTOMATON_HOLD)
            continue;
        release(self, &item);
        if (verdict == AUTOMATON_APPEND)
            append(self, &item);
        else
            self->ops->aside(self->arg, &item, verdict);
        return true;
    }
    return false;
}

static void settle(order_t *self)
{
    while (settle_once(self)) {
    }
}

/* Writing ---------------------------------------------------------------------------------------
 */

static void force(order_t *self, order_item_t *item);

order_item_t order_ours(task_event_t kind, const char *exec_id, uint32_t pid, int64_t time,
                        const char *evidence)
{
    order_item_t item = {
        .event = {.kind = kind, .is_exec = exec_id[0], .is_ours = true, .pid = pid, .time = time}};
    snprintf(item.exec_id, sizeof item.exec_id, "%s", exec_id);
    snprintf(item.evidence, sizeof item.evidence, "%s", evidence);
    return item;
}

/* Takes over what was learnt of that event. */
static void use_what_is_known(order_t *self, order_item_t *item)
{
    order_item_t held;
    if (!self->held)
        return;
    for (uint64_t at = 0; self->ops->next_held(self->arg, at, &held); at = held.number) {
        bool is_same_pid = !item->event.pid || !held.event.pid || item->event.pid == held.event.pid;
        if (held.event.is_ours && held.event.kind == item->event.kind &&
            !strcmp(held.exec_id, item->exec_id) && is_same_pid) {
            release(self, &held);
            item->payload = held.payload;
            memcpy(item->evidence, held.evidence, sizeof item->evidence);
            if (held.event.time < item->event.time)
                item->event.time = held.event.time;
            if (held.event.pid)
                item->event.pid = held.event.pid;
            return;
        }
    }
}

/* Writes the event that `item` waits for. */
static void make(order_t *self, const automaton_missing_t *missing, const order_item_t *item)
{
    char exec_id[ORDER_EXEC_SIZE] = "";
    if (missing->any_open && !self->ops->next_open(self->arg, exec_id)) {
        self->init.open = 0; /* cannot be; it must not stop the end of the run */
        return;
    }
    if (missing->is_exec && !missing->any_open)
        memcpy(exec_id, item->exec_id, sizeof exec_id);
    uint32_t pid = missing->pid;
    if (missing->any_open) {
        automaton_t exec;
        self->ops->load(self->arg, exec_id, &exec);
        pid = exec.phase == AUTOMATON_STARTED ? exec.pid : exec.known_pid;
    }
    const char *evidence = missing->kind == TASK_EVENT_EXIT ? "" : ORDER_LATER_EVENT;
    order_item_t made = order_ours(missing->kind, exec_id, pid, item->event.time - 1, evidence);
    if (!exec_id[0] && missing->kind <= TASK_EVENT_DELETE)
        made.event.pid = pid ? pid : self->init.pid;
    use_what_is_known(self, &made);
    force(self, &made);
    settle(self);
}

/* The shim's own event, which is held as well, of what was learnt. */
static bool find_twin(const order_t *self, const order_item_t *item, order_item_t *ret)
{
    for (uint64_t at = 0; self->held && self->ops->next_held(self->arg, at, ret); at = ret->number)
        if (!ret->event.is_ours && ret->event.kind == item->event.kind &&
            !strcmp(ret->exec_id, item->exec_id) &&
            automaton_is_same(ret->event.pid, item->event.pid))
            return true;
    return false;
}

static void force_held(order_t *self, order_item_t *item)
{
    order_item_t twin;
    release(self, item);
    while (item->event.is_ours && is_expected(self, item) && find_twin(self, item, &twin)) {
        release(self, &twin);
        force(self, &twin);
    }
    if (!item->event.is_ours || is_expected(self, item))
        force(self, item);
}

/* With all that goes before it. */
static void force(order_t *self, order_item_t *item)
{
    automaton_missing_t missing;
    order_item_t before;
    for (int i = 0; i < STEPS_MAX && find_before(self, item, &before); i++)
        force_held(self, &before);
    automaton_verdict_t verdict = judge(self, item, true, &missing);
    for (int i = 0; verdict == AUTOMATON_HOLD && i < STEPS_MAX; i++) {
        make(self, &missing, item);
        if (item->index && !is_expected(self, item))
            return; /* the shim's own was among those that could go on */
        verdict = judge(self, item, true, &missing);
    }
    if (verdict == AUTOMATON_APPEND)
        append(self, item);
    else if (!item->event.is_ours)
        self->ops->aside(self->arg, item, verdict);
}

/* -----------------------------------------------------------------------------------------------
 */

/* It is held already: the shim has sent it twice. */
static bool is_held(const order_t *self, const order_item_t *item)
{
    order_item_t held;
    for (uint64_t at = 0; self->held && self->ops->next_held(self->arg, at, &held);
         at = held.number)
        if (!held.event.is_ours && held.event.kind == item->event.kind &&
            held.event.time == item->event.time && !strcmp(held.exec_id, item->exec_id))
            return true;
    return false;
}

static bool has_room(const order_t *self)
{
    return self->held < ORDER_HELD_RUN_MAX && !self->ops->is_full(self->arg);
}

static void hold(order_t *self, order_item_t *item, int64_t wait)
{
    self->held++;
    item->deadline = self->now + wait;
    self->ops->hold(self->arg, item);
}

void order_take(order_t *self, order_item_t *item)
{
    automaton_missing_t missing;
    order_item_t before;
    automaton_verdict_t verdict = judge(self, item, false, &missing);
    if (verdict == AUTOMATON_APPEND && find_before(self, item, &before))
        verdict = AUTOMATON_HOLD;
    if (verdict == AUTOMATON_HOLD && is_held(self, item))
        verdict = AUTOMATON_REPEAT;
    if (verdict == AUTOMATON_APPEND)
        append(self, item);
    else if (verdict != AUTOMATON_HOLD)
        self->ops->aside(self->arg, item, verdict);
    else if (has_room(self))
        hold(self, item, automaton_wait_ns(item->event.time, self->now));
    else
        force(self, item);
    settle(self);
}

void order_learn(order_t *self, order_item_t *item)
{
    bool is_missing;
    if (item->event.is_exec) {
        automaton_t state;
        self->ops->load(self->arg, item->exec_id, &state);
        is_missing = automaton_learn(&self->init, &state, &item->event, &item->index);
        self->ops->store(self->arg, item->exec_id, &state);
    } else {
        is_missing = automaton_learn(&self->init, &self->init, &item->event, &item->index);
    }
    if (!is_missing)
        return;
    if (has_room(self)) {
        hold(self, item, AUTOMATON_WAIT_MIN_NS);
        /* The shim's own may wait for nothing but this. */
        if (item->event.kind == TASK_EVENT_EXIT)
            settle(self);
    } else {
        force(self, item);
        settle(self);
    }
}

/* What was learnt of an exec is older than the process that runs under its id now: that one's exit,
 * which would have to come first, must not be made up. */
static bool is_overtaken(const order_t *self, const order_item_t *item)
{
    automaton_t state;
    if (!item->event.is_ours || !item->event.is_exec)
        return false;
    load(self, item, &state);
    bool is_other =
        item->event.kind == TASK_EVENT_EXEC_ADDED || !automaton_is_same(state.pid, item->event.pid);
    return is_other && state.phase == AUTOMATON_STARTED && item->event.time <= state.last_time;
}

void order_release(order_t *self, order_item_t *item)
{
    if (is_overtaken(self, item)) {
        release(self, item);
        hold(self, item, AUTOMATON_WAIT_MIN_NS);
        return;
    }
    force_held(self, item);
    settle(self);
}

void order_end(order_t *self, uint32_t pid, bool is_certain, const char *evidence)
{
    order_item_t item;
    while (self->held && self->ops->next_held(self->arg, 0, &item)) {
        force_held(self, &item);
        settle(self);
    }
    if (!self->init.pid)
        self->init.pid = pid;
    const automaton_t *init = &self->init;
    if (init->phase == AUTOMATON_NONE && !init->known && !is_certain)
        return;
    if (init->phase == AUTOMATON_STARTED || automaton_knows(init, TASK_EVENT_START) ||
        automaton_knows(init, TASK_EVENT_EXIT)) {
        item = order_ours(TASK_EVENT_EXIT, "", init->pid, self->now, "");
        force(self, &item);
    }
    item = order_ours(TASK_EVENT_DELETE, "", init->pid, self->now, evidence);
    force(self, &item);
}

void order_undo(order_t *self, const char *evidence)
{
    order_item_t item;
    while (self->held && self->ops->next_held(self->arg, 0, &item)) {
        release(self, &item);
        if (!item.event.is_ours)
            self->ops->aside(self->arg, &item, AUTOMATON_LATE);
    }
    if (self->init.phase == AUTOMATON_NONE)
        return;
    item = order_ours(TASK_EVENT_DELETE, "", self->init.pid, self->now, evidence);
    force(self, &item);
}
