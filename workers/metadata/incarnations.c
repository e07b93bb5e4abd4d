/* Runs of containers: their methods. */
#include "workers/metadata/incarnations.h"

#include "workers/metadata/containers.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/expiry.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/restarts.h"
#include "workers/metadata/run.h"
#include "workers/metadata/trail.h"

#include <string.h>
#include <uuid/uuid.h>

/* Checks ----------------------------------------------------------------------------------------
 */

/* Incarnations become parts of keys: they must have their full length. */
static status_code_t check_uuid(const char *method, const char *text, status_t *st)
{
    uuid_t uuid;
    if (strlen(text) == UTIL_UUID_SIZE - 1 && !uuid_parse(text, uuid))
        return STATUS_OK;
    return status_set(st, STATUS_INVALID_ARGUMENT, "%s: incarnation %s is not a UUID", method,
                      text);
}

status_code_t incarnations_check_begin(const void *ask, status_t *st)
{
    return check_uuid("incarnation.begin", ((const msg_incarnation_begin_t *)ask)->incarnation, st);
}

status_code_t incarnations_check_exit(const void *ask, status_t *st)
{
    return check_uuid("incarnation.exit", ((const msg_incarnation_exit_t *)ask)->incarnation, st);
}

status_code_t incarnations_check_checkpoint(const void *ask, status_t *st)
{
    return check_uuid("incarnation.checkpoint",
                      ((const msg_incarnation_checkpoint_t *)ask)->incarnation, st);
}

status_code_t incarnations_check_end(const void *ask, status_t *st)
{
    return check_uuid("incarnation.end", ((const msg_incarnation_end_t *)ask)->incarnation, st);
}

status_code_t incarnations_check_get(const void *ask, status_t *st)
{
    return check_uuid("incarnation.get", ((const msg_incarnation_get_t *)ask)->incarnation, st);
}

/* incarnation.begin, incarnation.get ------------------------------------------------------------
 */

incarnations_stage_t incarnations_stage(txn_t *txn, const char *ns, const char *id)
{
    head_record_t head;
    process_record_t init;
    msg_bytes_t found;
    if (!head_record_get(txn, ns, id, &head))
        return INCARNATIONS_NO_RUN;
    store_key_t key = STORE_KEY(ns, id, head.incarnation, "");
    if (!head.live || txn_get(txn, TABLE_EXITS, key.bytes, key.size, &found))
        return INCARNATIONS_ENDED;
    bool is_started =
        process_record_get(txn, &key, &init) &&
        (init.state.phase >= AUTOMATON_STARTED || (init.state.known & 1u << TASK_EVENT_START));
    return is_started ? INCARNATIONS_STARTED : INCARNATIONS_MADE;
}

bool incarnations_is_live(txn_t *txn, const char *ns, const char *id)
{
    head_record_t head;
    return head_record_get(txn, ns, id, &head) && head.live;
}

static bool is_head(const head_record_t *head, const char *incarnation)
{
    return head->live && !strcmp(head->incarnation, incarnation);
}

status_code_t incarnations_begin(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_incarnation_begin_t *ask = call->ask;
    head_record_t head;
    process_record_t process;
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation, "");
    msg_outcome_t earlier;
    if (msg_uuid_is_set(&ask->request) && requests_find(txn, &ask->request, call->zone, &earlier))
        return status_set(st, STATUS_ABORTED, "task %s: this request had its outcome before",
                          ask->id);
    if (containers_find(txn, call->ns, ask->id, call->zone, call->answer, st))
        return st->code;
    head_record_get(txn, call->ns, ask->id, &head);
    if (is_head(&head, ask->incarnation))
        return STATUS_OK;
    if (head.live)
        return status_set(st, STATUS_ALREADY_EXISTS, "task %s: already exists", ask->id);
    if (process_record_get(txn, &key, &process))
        return status_set(st, STATUS_FAILED_PRECONDITION, "task %s: incarnation %s has ended",
                          ask->id, ask->incarnation);
    if (restarts_begin(txn, call, call->answer, st))
        return st->code;
    memcpy(head.previous, head.incarnation, sizeof head.previous);
    snprintf(head.incarnation, sizeof head.incarnation, "%s", ask->incarnation);
    head.live = true;
    head.begun = call->now;
    process.newest = trail_newest(txn, call->ns, ask->id);
    head_record_put(txn, call->ns, ask->id, &head);
    process_record_put(txn, &key, &process);
    return STATUS_OK;
}

status_code_t incarnations_get(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_incarnation_get_t *ask = call->ask;
    head_record_t head;
    head_record_get(txn, call->ns, ask->id, &head);
    if (!is_head(&head, ask->incarnation))
        return status_set(st, STATUS_NOT_FOUND, "incarnation %s of task %s: not found",
                          ask->incarnation, ask->id);
    return containers_find(txn, call->ns, ask->id, call->zone, call->answer, st);
}

/* incarnation.exit, exit.get --------------------------------------------------------------------
 */

static bool get_exit(txn_t *txn, const store_key_t *key, msgpack_zone *zone, msg_exited_t *ret)
{
    /* The record has the fields of `exited` under their names, and more. */
    return txn_get_message(txn, TABLE_EXITS, key, MSG_exited, zone, ret);
}

/* The first exit of a process is the true one; a known one replaces an unknown one, the worker's
 * own what was seen in an event, and another process id is another process of the same exec id. */
static void keep_exit(txn_t *txn, const store_key_t *key, const msg_incarnation_exit_t *exit,
                      msgpack_zone *zone)
{
    msg_incarnation_exit_t earlier;
    bool is_same = txn_get_message(txn, TABLE_EXITS, key, MSG_incarnation_exit, zone, &earlier) &&
                   earlier.pid == exit->pid;
    bool is_event = is_same && earlier.source && !strcmp(earlier.source, RUN_EXIT_EVENT);
    bool is_better = is_same && (earlier.unknown || is_event) && !exit->unknown;
    if (is_same && !is_better)
        return;
    exit_records_put(txn, key, exit);
}

/* What its shim has not told is written when it does not come. */
static void learn_exit(run_t *run, const msg_incarnation_exit_t *ask, const char *exec_id)
{
    int64_t now = run->order.now;
    int64_t time = ask->exited_at > 0 && ask->exited_at < now ? ask->exited_at : now;
    order_item_t oom = order_ours(TASK_EVENT_OOM, "", 0, time, "cgroup");
    if (ask->oom_kills && !run->order.init.counts[AUTOMATON_COUNT_OOM])
        order_learn(&run->order, &oom);
    run_learn_exit(run, ask, exec_id, time);
}

status_code_t incarnations_exit(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_incarnation_exit_t *ask = call->ask;
    const char *exec_id = ask->exec_id ? ask->exec_id : "";
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation);
    store_key_t process = STORE_KEY(call->ns, ask->id, ask->incarnation, exec_id);
    run_t run;
    if (!run_open(&run, txn, &key, call->now))
        return status_set(st, STATUS_NOT_FOUND, "incarnation %s of task %s: not found",
                          ask->incarnation, ask->id);
    msg_exited_t earlier;
    bool is_decided = get_exit(txn, &process, call->zone, &earlier);
    keep_exit(txn, &process, ask, call->zone);
    if (!run.init.ended)
        learn_exit(&run, ask, exec_id);
    run_close(&run);
    if (!exec_id[0] && !is_decided)
        restarts_on_exit(txn, call, ask);
    else if (!exec_id[0])
        restarts_tell(txn, call, ask->id);
    return STATUS_OK;
}

status_code_t incarnations_exit_get(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_exit_get_t *ask = call->ask;
    head_record_t head;
    if (head_record_get(txn, call->ns, ask->id, &head)) {
        store_key_t key =
            STORE_KEY(call->ns, ask->id, head.incarnation, ask->exec_id ? ask->exec_id : "");
        if (get_exit(txn, &key, call->zone, call->answer))
            return STATUS_OK;
    }
    if (ask->exec_id)
        return status_set(st, STATUS_NOT_FOUND, "exit of exec %s of task %s: not found",
                          ask->exec_id, ask->id);
    return status_set(st, STATUS_NOT_FOUND, "exit of task %s: not found", ask->id);
}

/* incarnation.end -------------------------------------------------------------------------------
 */

/* Nothing shows that there ever was a process to tell of. */
static bool is_unheard_of(const process_record_t *init)
{
    return init->state.phase == AUTOMATON_NONE && !init->state.known && !init->held;
}

bool incarnations_is_complete(txn_t *txn, const char *ns, const msg_incarnation_end_t *ask)
{
    store_key_t key = STORE_KEY(ns, ask->id, ask->incarnation, "");
    process_record_t init;
    if (ask->undone || ask->shim_lost || !process_record_get(txn, &key, &init) || init.ended)
        return true;
    return (!ask->pid && is_unheard_of(&init)) || init.state.phase == AUTOMATON_DELETED;
}

/* Keeps what the request says of the end, unless something better was recorded. `ret` is what is
 * known then; left alone when it never ran. */
static void keep_end(run_t *run, const call_t *call, msg_exited_t *ret)
{
    const msg_incarnation_end_t *ask = call->ask;
    msg_incarnation_exit_t earlier;
    msg_incarnation_exit_t record = {.id = ask->id,
                                     .incarnation = ask->incarnation,
                                     .pid = ask->pid,
                                     .exit_status = ask->exit_status,
                                     .exited_at = ask->exited_at,
                                     .unknown = ask->unknown,
                                     .why = ask->why,
                                     .source = "task.delete"};
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation, "");
    bool is_recorded = run_exit(run, "", &earlier);
    if (!ask->exited_at && !ask->unknown && !is_recorded)
        return; /* it never ran */
    if (!is_recorded || (earlier.unknown && !ask->unknown && ask->exited_at))
        exit_records_put(run->txn, &key, &record);
    else
        record = earlier;
    *ret = (msg_exited_t){.pid = record.pid,
                          .exit_status = record.exit_status,
                          .exited_at = record.exited_at,
                          .unknown = record.unknown,
                          .why = record.why};
    run_learn_exit(run, &record, "", call->now);
}

/* The outcome of the task.delete that ends this run. */
static void keep_outcome(txn_t *txn, const call_t *call, const msg_exited_t *exited)
{
    const msg_incarnation_end_t *ask = call->ask;
    if (!msg_uuid_is_set(&ask->request))
        return;
    msg_label_t force = {.key = "force", .value = "true"};
    msgpack_sbuffer answer;
    msgpack_sbuffer_init(&answer);
    msg_encode(MSG_exited, exited, &answer);
    requests_keep(
        txn,
        &(msg_request_record_t){.id = ask->request,
                                .method = msg_type(MSG_task_delete)->name,
                                .ns = call->ns,
                                .answer = {.data = (uint8_t *)answer.data, .size = answer.size},
                                .peer = ask->peer,
                                .target = ask->id,
                                .asked_at = ask->asked_at,
                                .asked = {.items = &force, .count = ask->force}},
        call->now);
    msgpack_sbuffer_destroy(&answer);
}

static void write_end(run_t *run, const call_t *call, bool undone)
{
    const msg_incarnation_end_t *ask = call->ask;
    if (undone) {
        order_undo(&run->order, "undone");
        return;
    }
    msg_exited_t exited = {.pid = ask->pid};
    keep_end(run, call, &exited);
    keep_outcome(run->txn, call, &exited);
    bool is_certain = ask->pid || ask->exited_at || ask->unknown;
    order_end(&run->order, ask->pid, is_certain, ask->shim_lost ? "shim lost" : "task.delete");
}

/* The container has no task any more. A run that never came to be leaves the one before it as the
 * newest, whose exit is still asked for. */
static void let_go(txn_t *txn, const call_t *call, bool undone)
{
    const msg_incarnation_end_t *ask = call->ask;
    head_record_t head;
    if (!head_record_get(txn, call->ns, ask->id, &head) || !is_head(&head, ask->incarnation))
        return;
    head.live = false;
    if (undone) {
        memcpy(head.incarnation, head.previous, sizeof head.incarnation);
        memset(head.previous, 0, sizeof head.previous);
    }
    if (head.incarnation[0]) {
        head_record_put(txn, call->ns, ask->id, &head);
    } else {
        store_key_t key = STORE_KEY(call->ns, ask->id);
        txn_delete(txn, TABLE_HEADS, key.bytes, key.size);
    }
}

status_code_t incarnations_end(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_incarnation_end_t *ask = call->ask;
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation);
    store_key_t init = STORE_KEY(call->ns, ask->id, ask->incarnation, "");
    msg_exited_t exited;
    run_t run;
    (void)st;
    if (!run_open(&run, txn, &key, call->now) || run.init.ended) {
        restarts_tell(txn, call, ask->id);
        return STATUS_OK;
    }
    bool was_decided = get_exit(txn, &init, call->zone, &exited); /* with the exit */
    /* A run that is found without a bundle, and of which nothing was ever heard. */
    bool undone = ask->undone || (ask->shim_lost && !ask->pid && is_unheard_of(&run.init));
    write_end(&run, call, undone);
    run.init.ended = true;
    run.init.keep_until = call->now + INCARNATIONS_KEEP_NS;
    trail_keep(txn, call->ns, ask->id, run.init.newest);
    run_close(&run);
    let_go(txn, call, undone);
    expiry_add(txn, EXPIRY_RUN, init.bytes, init.size, run.init.keep_until, call->now);
    bool has_ended = !undone && get_exit(txn, &init, call->zone, &exited);
    restarts_on_end(txn, call, has_ended && !was_decided ? &exited : NULL);
    return STATUS_OK;
}
