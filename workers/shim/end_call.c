/* Kill, Wait and Delete as steps of a plan. */
#include "workers/shim/end_call.h"

#include "common/proto/task.pb-c.h"

#define SIGNAL_KILL 9

static bool can_call(const process_t *process)
{
    return process && process->task->shim;
}

static void call(op_t *op, const task_t *task, const char *method, const ProtobufCMessage *message,
                 ttrpc_reply_t *reply)
{
    shim_call(task->shim, method, message, task->manager->timeouts.call, task->ns, reply, op);
}

bool end_call_kill(op_t *op, process_t *process, bool all, ttrpc_reply_t *reply)
{
    if (!can_call(process))
        return false;
    Containerd__Task__V2__KillRequest message = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    message.signal = SIGNAL_KILL;
    message.all = all;
    call(op, process->task, "Kill", &message.base, reply);
    return true;
}

bool end_call_wait(op_t *op, process_t *process, ttrpc_reply_t *reply)
{
    if (!can_call(process))
        return false;
    Containerd__Task__V2__WaitRequest message = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    call(op, process->task, "Wait", &message.base, reply);
    return true;
}

bool end_call_delete(op_t *op, process_t *process, ttrpc_reply_t *reply)
{
    if (!can_call(process))
        return false;
    Containerd__Task__V2__DeleteRequest message = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
    message.id = process->task->id;
    message.exec_id = process->exec_id;
    call(op, process->task, "Delete", &message.base, reply);
    return true;
}
