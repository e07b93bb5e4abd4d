/* One run of a container within a transaction: its events are put in order, and its state is read
 * and written around that. */
#ifndef SHIMD_METADATA_RUN_H
#define SHIMD_METADATA_RUN_H

#include "workers/metadata/journal.h"
#include "workers/metadata/order.h"
#include "workers/metadata/process_record.h"

typedef struct run {
    txn_t *txn;
    store_key_t key;                   /* NS, ID, INCARNATION, and a NUL behind it */
    const char *ns, *id, *incarnation; /* borrowed from the key */
    process_record_t init;
    order_t order;
    msgpack_zone *zone;  /* what is read of held events; NULL until one is */
    bool is_large;       /* the event at hand is too large to be held */
    bool has_ended_init; /* init's exit or delete came into the journal */
} run_t;

/* Reads the state of the run, in a write transaction: where that of one that goes on is lost it is
 * made again. False when there is none; then nothing is open. `self` must not move
 * before run_close, which writes the state back. */
bool run_open(run_t *self, txn_t *txn, const store_key_t *key, int64_t now);

/* The same with the record of its init process, as it is in the store. */
void run_open_with(run_t *self, txn_t *txn, const store_key_t *key, const process_record_t *init,
                   int64_t now);
void run_close(run_t *self);

/* An event of the shim: into the journal, or held, or aside. `event` is borrowed during the call.
 */
void run_take(run_t *self, order_item_t *item, const journal_event_t *event);

/* A process, "" for init, is known to have exited, at `time` or before. */
void run_learn_exit(run_t *self, const msg_incarnation_exit_t *exit, const char *exec_id,
                    int64_t time);

/* A shim's delete event tells how init ended; kept unless that was recorded. */
void run_learn_from_delete(run_t *self, const msg_incarnation_exit_t *exit);

/* The same of an exec, from a shim's exit: it may be all that is ever told of it. What its worker
 * records takes the place of that. */
#define RUN_EXIT_EVENT "event" /* such a record's source */
void run_learn_from_exec_exit(run_t *self, const char *exec_id, const msg_incarnation_exit_t *exit);

/* The exit record of a process of the run, "" for init. False when there is none. */
bool run_exit(run_t *self, const char *exec_id, msg_incarnation_exit_t *ret);

/* The time of a held event has come. A clock that was set back must not make it wait for longer
 * than it would have. */
bool run_is_due(int64_t deadline, int64_t now);

/* Releases up to a few held events of any runs whose time has come. True when there was one. */
bool run_release_due(txn_t *txn, int64_t now);

/* Puts the event of a run, which got no place in the journal, aside. */
void run_put_aside(txn_t *txn, const journal_event_t *event, const char *reason, int64_t now);

#endif
