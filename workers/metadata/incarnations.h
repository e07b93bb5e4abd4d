/* Runs of containers: which one is the present one, which events of it are in the journal, and how
 * its processes ended. */
#ifndef SHIMD_METADATA_INCARNATIONS_H
#define SHIMD_METADATA_INCARNATIONS_H

#include "common/util.h"
#include "workers/metadata/call.h"
#include "workers/metadata/process_record.h"

/* How long exit records are kept: of init and all execs of a task after its end, of an exec in a
 * task that goes on (health probes make one every few seconds) after its own. */
#define INCARNATIONS_KEEP_NS      ((int64_t)7 * 24 * 3600 * 1000000000)
#define INCARNATIONS_KEEP_EXEC_NS ((int64_t)24 * 3600 * 1000000000)

/* Of an event of a shim: whom it is about. */
typedef struct incarnations_event {
    const char *ns;
    const char *id;      /* container; "" when the event names none */
    const char *exec_id; /* "" for the init process */
    uint32_t pid;        /* 0 when the event tells none */
    int64_t time;        /* the shim's stamp, the same whenever it is sent again */
} incarnations_event_t;

typedef enum incarnations_found {
    INCARNATIONS_FOUND,
    INCARNATIONS_NONE,    /* no run of such a container is known */
    INCARNATIONS_FOREIGN, /* its process id is none of the runs' */
} incarnations_found_t;

/* Finds the run that an event belongs to: its NS, ID, INCARNATION. `ret_init` is the record of its
 * init process where that was read on the way, else it has no version. */
incarnations_found_t incarnations_find(txn_t *txn, const incarnations_event_t *event,
                                       store_key_t *ret, process_record_t *ret_init);

/* True while a container has a task, or is about to. */
bool incarnations_is_live(txn_t *txn, const char *ns, const char *id);

/* How far the newest run of a container has come, by what is recorded. */
typedef enum incarnations_stage {
    INCARNATIONS_NO_RUN,
    INCARNATIONS_MADE, /* or about to be */
    INCARNATIONS_STARTED,
    INCARNATIONS_ENDED,
} incarnations_stage_t;
incarnations_stage_t incarnations_stage(txn_t *txn, const char *ns, const char *id);

/* False while the shim can still be expected to send events that the end of this incarnation
 * needs. */
bool incarnations_is_complete(txn_t *txn, const char *ns, const msg_incarnation_end_t *ask);

/* incarnation.begin, .exit, .checkpoint, .end, .get, .list and exit.get. The end writes the events
 * that are missing. */
call_check_t incarnations_check_begin;
call_check_t incarnations_check_exit;
call_check_t incarnations_check_checkpoint;
call_check_t incarnations_check_end;
call_check_t incarnations_check_get;
call_run_t incarnations_begin;
call_run_t incarnations_exit;
call_run_t incarnations_checkpoint;
call_run_t incarnations_end;
call_run_t incarnations_get;
call_run_t incarnations_list;
call_run_t incarnations_exit_get;

/* For expiry.c: removes an ended incarnation (`init`: key of its init process), or one exec of it
 * unless it was used again, at most `budget` records. False when some are left. */
bool incarnations_forget(txn_t *txn, const store_key_t *init, int budget);
void incarnations_forget_exec(txn_t *txn, const store_key_t *exec, int64_t now);

#endif
