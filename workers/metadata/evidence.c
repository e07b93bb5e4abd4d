/* What the outcome of a request tells of a task. */
#include "workers/metadata/evidence.h"

#include "workers/metadata/run.h"

#include <string.h>
#include <uuid/uuid.h>

static const struct {
    msg_id_t method;
    task_event_t init, exec; /* which event it makes */
} effects[] = {
    {MSG_task_create, TASK_EVENT_CREATE, TASK_EVENT_OTHER},
    {MSG_task_start, TASK_EVENT_START, TASK_EVENT_EXEC_STARTED},
    {MSG_task_exec, TASK_EVENT_OTHER, TASK_EVENT_EXEC_ADDED},
    {MSG_task_pause, TASK_EVENT_PAUSED, TASK_EVENT_OTHER},
    {MSG_task_resume, TASK_EVENT_RESUMED, TASK_EVENT_OTHER},
};

/* TASK_EVENT_OTHER for none. */
static task_event_t effect_of(const msg_request_record_t *record)
{
    msg_id_t method = msg_find(record->method);
    for (size_t i = 0; i < sizeof effects / sizeof effects[0]; i++)
        if (effects[i].method == method)
            return record->exec_id ? effects[i].exec : effects[i].init;
    return TASK_EVENT_OTHER;
}

/* The process id in the answer, or 0. */
static uint32_t pid_of(const msg_request_record_t *record)
{
    msg_started_t started = {.pid = 0};
    status_t st;
    if (!record->answer.size || msg_type(msg_find(record->method))->answer != MSG_started)
        return 0;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (msg_decode(MSG_started, record->answer.data, record->answer.size, zone, &started, &st))
        started.pid = 0;
    msgpack_zone_free(zone);
    return started.pid;
}

void evidence_of_request(txn_t *txn, const msg_request_record_t *record, int64_t now)
{
    task_event_t effect = effect_of(record);
    head_record_t head;
    run_t run;
    if (record->status || !record->ns || !record->target || effect == TASK_EVENT_OTHER)
        return;
    if (!head_record_get(txn, record->ns, record->target, &head) || !head.live)
        return;
    store_key_t key = STORE_KEY(record->ns, record->target, head.incarnation);
    if (!run_open(&run, txn, &key, now))
        return;
    uint32_t pid = pid_of(record);
    const char *exec_id = record->exec_id ? record->exec_id : "";
    char evidence[ORDER_EVIDENCE_SIZE] = "request ";
    uuid_unparse_lower(record->id.bytes, evidence + strlen(evidence));
    /* Another process than the run's is of another run. */
    order_item_t item = order_ours(effect, exec_id, pid, now, evidence);
    if (exec_id[0] || automaton_is_same(run.order.init.pid, pid))
        order_learn(&run.order, &item);
    run_close(&run);
}
