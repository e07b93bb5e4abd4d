/* incarnation.checkpoint: the one event of tasks that every manager of shims writes itself. */
#include "workers/metadata/incarnations.h"

#include "workers/metadata/event_fields.h"
#include "workers/metadata/run.h"

/* Takes the place that a shim's would: after what the shim may still have to tell of the time
 * before. */
static void take(run_t *run, const msg_incarnation_checkpoint_t *ask)
{
    order_item_t item = {.event = {.kind = TASK_EVENT_OTHER, .time = run->order.now},
                         .evidence = "task.checkpoint"};
    event_fields_t fields;
    event_fields_begin(&fields, 2);
    event_fields_text(&fields, "container_id", ask->id);
    event_fields_text(&fields, "checkpoint", ask->path);
    const journal_event_t event = {.topic = "/tasks/checkpointed",
                                   .type = "containerd.events.TaskCheckpointed",
                                   .time = run->order.now,
                                   .event = event_fields_bytes(&fields)};
    run_take(run, &item, &event);
    event_fields_end(&fields);
}

status_code_t incarnations_checkpoint(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_incarnation_checkpoint_t *ask = call->ask;
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation);
    run_t run;
    if (!run_open(&run, txn, &key, call->now))
        return status_set(st, STATUS_NOT_FOUND, "incarnation %s of task %s: not found",
                          ask->incarnation, ask->id);
    take(&run, ask);
    run_close(&run);
    return STATUS_OK;
}
