/* The calls that end a process and take it out of its shim, as steps of a plan: the reply's `arg`
 * is the operation. */
#ifndef SHIMD_SHIM_END_CALL_H
#define SHIMD_SHIM_END_CALL_H

#include "workers/shim/manager.h"
#include "workers/shim/op.h"

/* Each sends its call and returns true: `reply` ends the step. False, and nothing was done, when
 * there is nobody to be asked, because the process is gone (NULL) or its shim is: the caller ends
 * the step. */
bool end_call_kill(op_t *op, process_t *process, bool all, ttrpc_reply_t *reply);
bool end_call_wait(op_t *op, process_t *process, ttrpc_reply_t *reply);
bool end_call_delete(op_t *op, process_t *process, ttrpc_reply_t *reply);

#endif
