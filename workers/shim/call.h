/* A request that is one call to the task's shim: sent, and answered from what the shim says. */
#ifndef SHIMD_SHIM_CALL_H
#define SHIMD_SHIM_CALL_H

#include "workers/shim/manager.h"

typedef struct call call_t;

/* The shim has done it. `process` is NULL when it is gone meanwhile. Answers the request. */
typedef void call_finish_t(call_t *call, process_t *process, const uint8_t *payload, size_t size);

struct call {
    process_ref_t ref;
    request_t *request;
    bool changes_state;
    call_finish_t *finish;
};

/* Calls `method` of the process's shim. A failure fails the request with what the shim said. */
void call_shim(manager_t *self, request_t *request, const process_t *process, const char *method,
               const ProtobufCMessage *message, call_finish_t *finish);

/* The same for what changes the state of the process: when nobody can tell whether it did, the shim
 * is asked for the state it is in now. */
void call_shim_changing(manager_t *self, request_t *request, const process_t *process,
                        const char *method, const ProtobufCMessage *message, call_finish_t *finish);

/* A call_finish_t that answers with nothing. */
call_finish_t call_finish_empty;

/* True when the process is in that state; otherwise the request is failed: "cannot VERB ID: ...".
 */
bool call_check_state(request_t *request, const process_t *process, process_state_t wanted,
                      const char *verb);

#endif
