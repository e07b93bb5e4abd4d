/* Restart policies: whether the end of a run is to be followed by another run, and when. Decided in
 * the transaction that records the end, so that a restart that is due is known as soon as the exit
 * is, whoever dies then. */
#ifndef SHIMD_METADATA_RESTARTS_H
#define SHIMD_METADATA_RESTARTS_H

#include "workers/metadata/call.h"

/* The first restart is made at once; each further one of a run that was shorter than `reset` waits,
 * `first` doubling to `last`. Milliseconds. */
typedef struct restart_delays {
    int first, last, reset;
} restart_delays_t;

extern const restart_delays_t restart_delays_default; /* 100 ms, a minute, 10 s */

/* INVALID_ARGUMENT for a policy that there is not; NULL is fine. */
status_code_t restarts_check_policy(const char *method, const char *policy, status_t *st);

/* Whether that policy, or NULL, asks for no restart. */
bool restarts_is_none(const char *policy);

/* Gives the record another policy; NULL leaves it. A restart that is due stays so unless the policy
 * is now no. */
void restarts_set_policy(msg_container_t *record, const char *policy, msgpack_zone *zone);

/* For incarnation.begin, with the container's record: a client's run clears an explicit stop and
 * counts anew; that of a restart must be the one that is due, ABORTED otherwise. */
status_code_t restarts_begin(txn_t *txn, const call_t *call, msg_container_t *record, status_t *st);

/* Decide, and answer what is due. `exited` is NULL when the run's exit was decided on before. */
void restarts_on_exit(txn_t *txn, const call_t *call, const msg_incarnation_exit_t *exit);
void restarts_on_end(txn_t *txn, const call_t *call, const msg_exited_t *exited);

/* For request.record: a stop that was accepted is kept with the container, so
 * that it counts also when the run's exit is never seen. */
void restarts_on_stop(txn_t *txn, const call_t *call, const msg_request_record_t *request);

/* Answers what is due: `call->answer` is a restart_due. */
void restarts_tell(txn_t *txn, const call_t *call, const char *id);

call_run_t restarts_note;
call_run_t restarts_list;

#endif
