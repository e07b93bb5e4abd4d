/* A run's events into the journal in their order: what comes too early is held until its
 * predecessor comes, or until that has been waited for in vain and is written from what is known.
 * Works on whatever keeps the run's state (order_ops_t). */
#ifndef SHIMD_METADATA_ORDER_H
#define SHIMD_METADATA_ORDER_H

#include "workers/metadata/automaton.h"

#include <stddef.h>

#define ORDER_EXEC_SIZE     77 /* an identifier with its NUL */
#define ORDER_EVIDENCE_SIZE 64

/* Held events: of one run, and in all; beyond, their predecessors are written at once. */
#define ORDER_HELD_RUN_MAX 64
#define ORDER_HELD_MAX     4096

#define ORDER_LATER_EVENT "a later event" /* evidence of its predecessors */

/* An event of a shim, or one of ours: learnt from elsewhere, and written if the shim's own does not
 * come. */
typedef struct order_item {
    uint64_t number; /* among those the run holds, in order of arrival; 0 when it is not held */
    automaton_event_t event;
    char exec_id[ORDER_EXEC_SIZE]; /* "" for init */
    uint32_t index;                /* ours: of automaton_learn */
    /* Ours: where from; "" when the exit record tells it. Of one that only stands in a shim's
     * place: why it is written; "" else. */
    char evidence[ORDER_EVIDENCE_SIZE];
    int64_t deadline;    /* held: ns since the epoch */
    const void *payload; /* whatever the ops need to write it */
} order_item_t;

/* Called from inside the functions below only. */
typedef struct order_ops {
    /* State of an exec; all zero for one that is not known. */
    void (*load)(void *arg, const char *exec_id, automaton_t *ret);
    void (*store)(void *arg, const char *exec_id, const automaton_t *state);
    bool (*next_open)(void *arg, char exec_id[ORDER_EXEC_SIZE]); /* any exec that is open */
    void (*hold)(void *arg, order_item_t *item);                 /* gives it a number */
    /* It is not held any more; fills in its payload, which is good to the end. */
    void (*release)(void *arg, order_item_t *item);
    /* The held one with the lowest number above `after`, without its payload. */
    bool (*next_held)(void *arg, uint64_t after, order_item_t *ret);
    void (*append)(void *arg, const order_item_t *item);
    void (*aside)(void *arg, const order_item_t *item, automaton_verdict_t why);
    bool (*is_full)(void *arg); /* no room to hold another one */
} order_ops_t;

typedef struct order {
    const order_ops_t *ops;
    void *arg;
    automaton_t init; /* read and written; the caller keeps it */
    uint32_t held;    /* how many there are; likewise */
    int64_t now;      /* ns since the epoch */
} order_t;

/* An event of the shim. It is appended, held or put aside, and what it was waited for is released.
 */
void order_take(order_t *self, order_item_t *item);

/* This has happened, at `event.time` or before; written when the shim does not tell it soon. Made
 * by order_ours; `payload` may be set. */
void order_learn(order_t *self, order_item_t *item);

/* An event of ours. `exec_id` "" for init. */
order_item_t order_ours(task_event_t kind, const char *exec_id, uint32_t pid, int64_t time,
                        const char *evidence);

/* The time of a held one has come. */
void order_release(order_t *self, order_item_t *item);

/* The run is over: all that is held is released, and exit (of a process that ran, or is known to
 * have exited) and delete are written unless they are there. `is_certain`: there was a task, even
 * if nothing of it was seen. */
void order_end(order_t *self, uint32_t pid, bool is_certain, const char *evidence);

/* The run came to nothing: what is held is put aside. A task that was told of is told to be
 * deleted. */
void order_undo(order_t *self, const char *evidence);

#endif
