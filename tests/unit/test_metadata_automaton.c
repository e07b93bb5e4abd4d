/* The order of a task's events, without a store: single rules, and very many histories. */
#include "tests/unit/task_history.h"

#include "common/util.h"
#include "workers/metadata/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#ifndef HISTORIES
#define HISTORIES 100000
#endif

/* A run kept in memory -------------------------------------------------------------------------
 */

typedef struct memory {
    order_t order;
    automaton_t execs[HISTORY_EXECS];
    order_item_t held[ORDER_HELD_RUN_MAX];
    uint64_t next;
    size_t total;                              /* held besides by other runs */
    size_t put_aside;                          /* events */
    history_event_t exits[HISTORY_EVENTS_MAX]; /* known from elsewhere */
    size_t exit_count;
    history_outcome_t *outcome;
} memory_t;

static int exec_of(const char *exec_id)
{
    return exec_id[0] ? exec_id[1] - '0' : -1;
}

static void load(void *arg, const char *exec_id, automaton_t *ret)
{
    *ret = ((memory_t *)arg)->execs[exec_of(exec_id)];
}

static void store(void *arg, const char *exec_id, const automaton_t *state)
{
    ((memory_t *)arg)->execs[exec_of(exec_id)] = *state;
}

static bool next_open(void *arg, char exec_id[ORDER_EXEC_SIZE])
{
    memory_t *self = arg;
    for (int i = 0; i < HISTORY_EXECS; i++)
        if (self->execs[i].is_open) {
            snprintf(exec_id, ORDER_EXEC_SIZE, "e%d", i);
            return true;
        }
    return false;
}

static void hold(void *arg, order_item_t *item)
{
    memory_t *self = arg;
    item->number = ++self->next;
    for (size_t i = 0; i < ARRAY_SIZE(self->held); i++)
        if (!self->held[i].number) {
            self->held[i] = *item;
            return;
        }
    fail_msg("more are held than is allowed");
}

static void release(void *arg, order_item_t *item)
{
    memory_t *self = arg;
    for (size_t i = 0; i < ARRAY_SIZE(self->held); i++)
        if (self->held[i].number == item->number) {
            self->held[i].number = 0;
            return;
        }
    fail_msg("released one that is not held");
}

static bool next_held(void *arg, uint64_t after, order_item_t *ret)
{
    memory_t *self = arg;
    const order_item_t *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(self->held); i++) {
        const order_item_t *held = &self->held[i];
        if (held->number > after && (!found || held->number < found->number))
            found = held;
    }
    if (found)
        *ret = *found;
    return found;
}

static void append(void *arg, const order_item_t *item)
{
    memory_t *self = arg;
    history_entry_t entry = {.kind = item->event.kind,
                             .exec = exec_of(item->exec_id),
                             .pid = item->event.pid,
                             .is_ours = item->event.is_ours};
    const history_event_t *told = item->payload;
    for (size_t i = 0; i < self->exit_count && !told; i++)
        if (self->exits[i].exec == entry.exec && self->exits[i].pid == entry.pid)
            told = &self->exits[i];
    entry.code = told ? told->code : 0;
    entry.is_unknown = !told && entry.kind == TASK_EVENT_EXIT;
    assert_true(self->outcome->count < HISTORY_OUT_MAX);
    self->outcome->entries[self->outcome->count++] = entry;
}

static void aside(void *arg, const order_item_t *item, automaton_verdict_t why)
{
    assert_false(item->event.is_ours);
    assert_int_not_equal(why, AUTOMATON_HOLD);
    ((memory_t *)arg)->put_aside++;
}

static bool is_full(void *arg)
{
    return ((memory_t *)arg)->total >= ORDER_HELD_MAX;
}

static const order_ops_t ops = {.load = load,
                                .store = store,
                                .next_open = next_open,
                                .hold = hold,
                                .release = release,
                                .next_held = next_held,
                                .append = append,
                                .aside = aside,
                                .is_full = is_full};

static void memory_init(memory_t *self, history_outcome_t *outcome)
{
    memset(self, 0, sizeof *self);
    self->order = (order_t){.ops = &ops, .arg = self};
    self->outcome = outcome;
}

static order_item_t item_of(const history_event_t *event)
{
    order_item_t item = {.event = {.kind = event->kind,
                                   .is_exec = event->exec >= 0,
                                   .pid = event->pid,
                                   .time = event->stamp},
                         .payload = event};
    if (event->exec >= 0)
        snprintf(item.exec_id, sizeof item.exec_id, "e%d", event->exec);
    return item;
}

/* What is due until then, as a timer would do it. */
static void release_due(memory_t *self, int64_t until)
{
    for (;;) {
        order_item_t item, due = {.number = 0};
        for (uint64_t at = 0; next_held(self, at, &item); at = item.number)
            if (item.deadline <= until && (!due.number || item.deadline < due.deadline))
                due = item;
        if (!due.number)
            return;
        self->order.now = due.deadline;
        order_release(&self->order, &due);
    }
}

static void learn(memory_t *self, const history_event_t *event)
{
    order_item_t item = item_of(event);
    if (event->kind == TASK_EVENT_EXIT)
        self->exits[self->exit_count++] = *event;
    int64_t time = event->kind == TASK_EVENT_EXIT ? event->stamp : self->order.now;
    item = order_ours(event->kind, item.exec_id, event->pid, time, "somebody");
    order_learn(&self->order, &item);
}

static void run_history(void *arg, const history_t *history, history_outcome_t *ret)
{
    memory_t self;
    history_step_t steps[HISTORY_STEPS_MAX];
    size_t count = history_steps(history, steps);
    bool has_ended = false;
    memory_init(&self, ret);
    (void)arg;
    for (size_t i = 0; i < count && !has_ended; i++) {
        release_due(&self, steps[i].time);
        self.order.now = steps[i].time;
        order_item_t item;
        switch (steps[i].act) {
        case HISTORY_ARRIVES:
            item = item_of(steps[i].event);
            order_take(&self.order, &item);
            break;
        case HISTORY_LEARNT:
            learn(&self, steps[i].event);
            break;
        case HISTORY_ENDS:
            if (history->is_undone)
                order_undo(&self.order, "undone");
            else
                order_end(&self.order, 100, true, "end");
            has_ended = true; /* what comes now is put aside without being looked at */
            break;
        }
    }
    assert_int_equal(self.order.held, 0);
    assert_false(next_held(&self, 0, &(order_item_t){.number = 0}));
}

/* Until the next try of a shim that first tried at the event's stamp. */
static void test_waiting(void **state)
{
    static const struct {
        int age_ms, wait_ms;
    } rows[] = {{0, 1500},    {600, 1500},   {1000, 2500},  {1200, 2300},   {3000, 3500},
                {6100, 4400}, {10000, 5500}, {15000, 1500}, {600000, 1500}, {-5000, 1500}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t stamp = 1000000 * HISTORY_MS, now = stamp + rows[i].age_ms * HISTORY_MS;
        assert_int_equal(automaton_wait_ns(stamp, now), rows[i].wait_ms * HISTORY_MS);
    }
}

static void test_histories(void **state)
{
    (void)state;
    uint64_t seed = history_first_seed();
    for (size_t i = 0; i < HISTORIES; i++) {
        history_t history;
        history_make(&history, seed + i);
        history_prove(&history, run_history, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
