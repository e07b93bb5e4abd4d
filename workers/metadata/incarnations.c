/* Runs of containers: their methods. */
#include "workers/metadata/incarnations.h"

#include "workers/metadata/containers.h"
#include "workers/metadata/expiry.h"
#include "workers/metadata/own_events.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/requests.h"

#include <string.h>
#include <uuid/uuid.h>

#define SEEN(kind) (1u << (kind))

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
    memcpy(head.previous, head.incarnation, sizeof head.previous);
    snprintf(head.incarnation, sizeof head.incarnation, "%s", ask->incarnation);
    head.live = true;
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

static void keep_exec_for_a_while(txn_t *txn, const store_key_t *key, process_record_t *process,
                                  int64_t now)
{
    process->keep_until = now + INCARNATIONS_KEEP_EXEC_NS;
    expiry_add(txn, EXPIRY_PROCESS, key->bytes, key->size, process->keep_until, now);
}

static bool get_exit(txn_t *txn, const store_key_t *key, msgpack_zone *zone, msg_exited_t *ret)
{
    /* The record has the fields of `exited` under their names, and more. */
    return txn_get_message(txn, TABLE_EXITS, key, MSG_exited, zone, ret);
}

/* The first exit of a process is the true one; a known one replaces an unknown one, and another
 * process id is another process of the same exec id. */
static void keep_exit(txn_t *txn, const store_key_t *key, const msg_incarnation_exit_t *exit,
                      msgpack_zone *zone)
{
    msg_exited_t earlier;
    if (get_exit(txn, key, zone, &earlier) && earlier.pid == exit->pid &&
        (!earlier.unknown || exit->unknown))
        return;
    txn_put_message(txn, TABLE_EXITS, key, MSG_incarnation_exit, exit);
}

status_code_t incarnations_exit(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_incarnation_exit_t *ask = call->ask;
    const char *exec_id = ask->exec_id ? ask->exec_id : "";
    store_key_t init = STORE_KEY(call->ns, ask->id, ask->incarnation, "");
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation, exec_id);
    process_record_t process;
    if (!process_record_get(txn, &init, &process))
        return status_set(st, STATUS_NOT_FOUND, "incarnation %s of task %s: not found",
                          ask->incarnation, ask->id);
    keep_exit(txn, &key, ask, call->zone);
    process_record_get(txn, &key, &process);
    if (!process.pid)
        process.pid = ask->pid;
    if (exec_id[0])
        keep_exec_for_a_while(txn, &key, &process, call->now);
    process_record_put(txn, &key, &process);
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

static bool has_run(const process_record_t *init, int64_t exited_at)
{
    return exited_at != 0 || (init->seen & SEEN(TASK_EVENT_START));
}

bool incarnations_is_complete(txn_t *txn, const char *ns, const msg_incarnation_end_t *ask)
{
    store_key_t key = STORE_KEY(ns, ask->id, ask->incarnation, "");
    process_record_t init;
    if (ask->undone || ask->shim_lost || !process_record_get(txn, &key, &init) || init.ended)
        return true;
    if (!ask->pid && !init.seen)
        return true; /* nothing shows that there ever was a process to tell of */
    uint32_t needed = SEEN(TASK_EVENT_DELETE);
    if (has_run(&init, ask->exited_at))
        needed |= SEEN(TASK_EVENT_EXIT);
    return (init.seen & needed) == needed;
}

/* What is known of the end: the exit that was recorded, or else what the request says. */
static void end_of(txn_t *txn, const call_t *call, const store_key_t *key, msg_exited_t *ret)
{
    const msg_incarnation_end_t *ask = call->ask;
    bool recorded = get_exit(txn, key, call->zone, ret);
    if (recorded && (!ret->unknown || ask->unknown || !ask->exited_at))
        return;
    *ret = (msg_exited_t){.pid = ask->pid,
                          .exit_status = ask->exit_status,
                          .exited_at = ask->exited_at,
                          .unknown = ask->unknown,
                          .why = ask->why};
    if (!ask->exited_at && !ask->unknown)
        return; /* it never ran */
    msg_incarnation_exit_t record = {.id = ask->id,
                                     .incarnation = ask->incarnation,
                                     .pid = ask->pid,
                                     .exit_status = ask->exit_status,
                                     .exited_at = ask->exited_at,
                                     .unknown = ask->unknown,
                                     .why = ask->why};
    txn_put_message(txn, TABLE_EXITS, key, MSG_incarnation_exit, &record);
}

/* The outcome of the task.delete that ends this run. */
static void keep_outcome(txn_t *txn, const call_t *call, const msg_exited_t *exited)
{
    const msg_incarnation_end_t *ask = call->ask;
    if (!msg_uuid_is_set(&ask->request))
        return;
    msgpack_sbuffer answer;
    msgpack_sbuffer_init(&answer);
    msg_encode(MSG_exited, exited, &answer);
    requests_keep(
        txn,
        &(msg_request_record_t){.id = ask->request,
                                .method = msg_type(MSG_task_delete)->name,
                                .ns = call->ns,
                                .answer = {.data = (uint8_t *)answer.data, .size = answer.size},
                                .peer = ask->peer},
        call->now);
    msgpack_sbuffer_destroy(&answer);
}

static void write_missing_events(txn_t *txn, const call_t *call, const store_key_t *key,
                                 process_record_t *init)
{
    const msg_incarnation_end_t *ask = call->ask;
    msg_exited_t exited;
    end_of(txn, call, key, &exited);
    keep_outcome(txn, call, &exited);
    if (has_run(init, exited.exited_at) && !(init->seen & SEEN(TASK_EVENT_EXIT)))
        own_events_task(txn, OWN_TASK_EXIT, call->ns, ask->id, ask->incarnation, &exited,
                        call->now);
    if (!(init->seen & SEEN(TASK_EVENT_DELETE)))
        own_events_task(txn, OWN_TASK_DELETE, call->ns, ask->id, ask->incarnation, &exited,
                        call->now);
    if (has_run(init, exited.exited_at))
        init->seen |= SEEN(TASK_EVENT_EXIT);
    init->seen |= SEEN(TASK_EVENT_DELETE); /* the shim's own, when they come late, are repeats */
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
    store_key_t key = STORE_KEY(call->ns, ask->id, ask->incarnation, "");
    process_record_t init;
    (void)st;
    if (!process_record_get(txn, &key, &init) || init.ended)
        return STATUS_OK;
    /* A run that is found without a bundle, and of which nothing was ever heard. */
    bool undone = ask->undone || (ask->shim_lost && !ask->pid && !init.seen);
    if (!undone)
        write_missing_events(txn, call, &key, &init);
    init.ended = true;
    if (!init.pid)
        init.pid = ask->pid;
    init.keep_until = call->now + INCARNATIONS_KEEP_NS;
    process_record_put(txn, &key, &init);
    let_go(txn, call, undone);
    expiry_add(txn, EXPIRY_RUN, key.bytes, key.size, init.keep_until, call->now);
    return STATUS_OK;
}
