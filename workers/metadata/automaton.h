/* The order of a task's events: what may follow what in one run of a container, each event once.
 *
 *   init    create < start < exit < delete
 *   execs   init's start < added < started < exit < init's exit; again and again for one exec id
 *   others  paused and resumed in turn; oom before the exit it belongs to; the rest between create
 *           and delete
 *
 * A shim sends them in this order and stamps them in it, but they arrive late, twice or never. Pure
 * rules: no store, no clock. */
#ifndef SHIMD_METADATA_AUTOMATON_H
#define SHIMD_METADATA_AUTOMATON_H

#include <stdbool.h>
#include <stdint.h>

typedef enum task_event {
    TASK_EVENT_CREATE, /* of init: once each */
    TASK_EVENT_START,
    TASK_EVENT_EXIT, /* of init, or of an exec */
    TASK_EVENT_DELETE,
    TASK_EVENT_EXEC_ADDED, /* of an exec: once each time that its id is used */
    TASK_EVENT_EXEC_STARTED,
    TASK_EVENT_PAUSED, /* of the task: again and again */
    TASK_EVENT_RESUMED,
    TASK_EVENT_OOM,
    TASK_EVENT_OTHER,
} task_event_t;

typedef enum automaton_phase {
    AUTOMATON_NONE,
    AUTOMATON_CREATED, /* an exec: added */
    AUTOMATON_STARTED,
    AUTOMATON_EXITED,
    AUTOMATON_DELETED, /* init only */
} automaton_phase_t;

/* Kinds that a process may have many of are counted. */
typedef enum automaton_count {
    AUTOMATON_COUNT_PAUSED, /* init's */
    AUTOMATON_COUNT_RESUMED,
    AUTOMATON_COUNT_OOM,
    AUTOMATON_COUNT_ADDED, /* an exec's */
    AUTOMATON_COUNTS
} automaton_count_t;

/* Stamps that are remembered so that an oom, or an event of a kind that is not known here, is known
 * when it is sent again. Others are told by what they are. */
#define AUTOMATON_RECENT 16

/* One process of the run: its events in the journal, and what is known besides. All zero at first.
 * Stored as it is. */
typedef struct automaton {
    uint32_t pid;          /* 0 while unknown */
    uint32_t previous_pid; /* an exec's, of the use of its id before */
    uint32_t known_pid; /* an exec's, of the start or exit that is known and not in the journal */
    uint8_t phase;      /* automaton_phase_t, of what is in the journal */
    uint8_t known;      /* bit per task_event_t: known to have happened, not in the journal */
    uint8_t is_paused;
    uint8_t is_turn_ours; /* the last paused or resumed was not the shim's */
    uint8_t is_open;      /* an exec that has to exit before init */
    uint8_t recent_next;  /* where the next one goes */
    uint8_t unused[2];
    uint32_t open; /* init: how many execs are open */
    uint32_t counts[AUTOMATON_COUNTS];
    uint32_t known_counts[AUTOMATON_COUNTS];
    uint8_t recent_kinds[AUTOMATON_RECENT];
    int64_t recent_times[AUTOMATON_RECENT];
    int64_t last_time;  /* the newest stamp: an exec's of any of its events, init's of paused and
                           resumed */
    int64_t known_time; /* of known_pid: when it had happened at the latest */
    int64_t oom_time;   /* the newest of an oom that the shim had not told */
} automaton_t;

typedef struct automaton_event {
    task_event_t kind;
    bool is_exec; /* an exec's, not init's */
    bool is_ours; /* not told by the shim: `time` is when it had happened at the latest */
    bool is_kill; /* an exit by SIGKILL, before which an oom may be missing */
    uint32_t pid; /* 0 when it tells none */
    int64_t time; /* ns since the epoch: the shim's stamp */
} automaton_event_t;

typedef enum automaton_verdict {
    AUTOMATON_APPEND,
    AUTOMATON_HOLD,   /* another one comes before it */
    AUTOMATON_REPEAT, /* it is in the journal */
    AUTOMATON_LATE,   /* its place is taken, or past */
} automaton_verdict_t;

/* What comes before an event that is held. */
typedef struct automaton_missing {
    task_event_t kind;
    bool is_exec;  /* of the event's own exec, but for: */
    bool any_open; /* the exit of every exec that is open */
    uint32_t pid;  /* 0: not to be told from here */
} automaton_missing_t;

/* Where the event belongs. `init` is the state of the run's init process, `self` that of the
 * event's process, the same for init. `waited`: what can be waited for in vain has been waited for,
 * so that HOLD means that the missing event has to be written. */
automaton_verdict_t automaton_judge(const automaton_t *init, const automaton_t *self,
                                    const automaton_event_t *event, bool waited,
                                    automaton_missing_t *missing);

/* The event, for which the verdict was APPEND, is in the journal. */
void automaton_apply(automaton_t *init, automaton_t *self, const automaton_event_t *event);

/* It is known from elsewhere that this has happened. True when the event is not in the journal;
 * `ret_index` then names it for automaton_expects. Of an exec's id one use at a time: what is held
 * of others is told again after each exit. */
bool automaton_learn(automaton_t *init, automaton_t *self, const automaton_event_t *event,
                     uint32_t *ret_index);

/* False once what was learnt is in the journal, or its place is past. */
bool automaton_expects(const automaton_t *init, const automaton_t *self,
                       const automaton_event_t *event, uint32_t index);

/* It happened, and is not in the journal. */
bool automaton_knows(const automaton_t *self, task_event_t kind);

/* True for process ids that may be one: 0 is any. */
bool automaton_is_same(uint32_t a, uint32_t b);

/* How long the predecessor of a shim's event with that stamp is worth waiting for, in nanoseconds:
 * until the shim's next try of an event that it first sent at that time, and a little longer. Shims
 * try again after 1, 2, 3, 4 and 5 seconds, so an event that itself comes late shows trouble, and
 * that others may take as long. Between AUTOMATON_WAIT_MIN_NS and AUTOMATON_WAIT_MAX_NS. */
#define AUTOMATON_WAIT_MIN_NS ((int64_t)1500 * 1000000)
#define AUTOMATON_WAIT_MAX_NS ((int64_t)5500 * 1000000)
int64_t automaton_wait_ns(int64_t time, int64_t now);

#endif
