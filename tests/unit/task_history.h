/* True histories of a task, how a shim's events of them arrive, and whether what became of them is
 * right: the same for the rules alone and for the store. */
#ifndef SHIMD_TASK_HISTORY_H
#define SHIMD_TASK_HISTORY_H

#include "workers/metadata/automaton.h"

#include <stddef.h>

#define HISTORY_EVENTS_MAX 48
#define HISTORY_EXECS      3
#define HISTORY_STEPS_MAX  (HISTORY_EVENTS_MAX * 4)
#define HISTORY_OUT_MAX    (HISTORY_EVENTS_MAX * 4)
#define HISTORY_MS         ((int64_t)1000000)

/* One event as it happened, and its way here. */
typedef struct history_event {
    task_event_t kind;
    int exec; /* -1 for init */
    uint32_t pid, code;
    int64_t stamp;  /* ns: the shim's */
    int64_t delay;  /* ns until it arrives; -1: never */
    int64_t again;  /* ns until it arrives a second time; -1: it does not */
    int64_t learnt; /* ns until it is known from elsewhere; -1: never */
    int group;      /* what goes together: the use of an exec, a pause with its end */
} history_event_t;

typedef struct history {
    uint64_t seed;
    bool is_gentle; /* nothing is lost, and nothing later than a shim's first try again */
    bool is_undone; /* the manager gives it up instead of ending it */
    size_t count;
    history_event_t events[HISTORY_EVENTS_MAX];
    int64_t end; /* ns: when the manager ends the run */
} history_t;

typedef enum history_act { HISTORY_ARRIVES, HISTORY_LEARNT, HISTORY_ENDS } history_act_t;
typedef struct history_step {
    int64_t time;
    history_act_t act;
    const history_event_t *event;
} history_step_t;

/* What is in the journal, in its order. */
typedef struct history_entry {
    task_event_t kind;
    int exec;
    uint32_t pid, code;
    bool is_ours, is_unknown;
} history_entry_t;
typedef struct history_outcome {
    size_t count;
    history_entry_t entries[HISTORY_OUT_MAX];
} history_outcome_t;

void history_make(history_t *ret, uint64_t seed);

/* What happens to it, in order of time; returns how many steps. */
size_t history_steps(const history_t *self, history_step_t steps[HISTORY_STEPS_MAX]);

/* NULL when the outcome is right, or what is wrong with it. */
const char *history_check(const history_t *self, const history_outcome_t *outcome);

/* Does the history to whatever is tested. */
typedef void history_run_t(void *arg, const history_t *history, history_outcome_t *ret);

/* Runs it. When the outcome is wrong, a small history with a wrong outcome is looked for and
 * printed with the seed, and the test fails. */
void history_prove(const history_t *self, history_run_t *run, void *arg);

/* The same for every run, so that a test that was green stays so; SHIMD_TEST_SEED in the
 * environment looks elsewhere. */
uint64_t history_first_seed(void);

/* Random numbers below `limit`; a generator of one's own. */
uint64_t history_random(uint64_t *state, uint64_t limit);

#endif
