/* Runs of containers: events of shims find theirs, and what is kept of them expires. */
#include "workers/metadata/incarnations.h"

#include "workers/metadata/expiry.h"
#include "workers/metadata/process_record.h"

#include <string.h>

#define SEEN(kind) (1u << (kind))

static store_key_t key_of(const incarnations_event_t *event, const char *incarnation)
{
    return STORE_KEY(event->ns, event->id, incarnation, event->exec_id);
}

static uint32_t pid_in(txn_t *txn, const incarnations_event_t *event, const char *incarnation)
{
    process_record_t process;
    store_key_t key = key_of(event, incarnation);
    process_record_get(txn, &key, &process);
    return process.pid;
}

/* The newest run, unless the process id shows that the event is a late one of the run before, or of
 * none that is known. */
static const char *choose(txn_t *txn, const incarnations_event_t *event, const head_record_t *head)
{
    if (!event->pid)
        return head->incarnation;
    uint32_t newest = pid_in(txn, event, head->incarnation);
    if (newest == event->pid)
        return head->incarnation;
    if (head->previous[0] && pid_in(txn, event, head->previous) == event->pid)
        return head->previous;
    /* An exec id may be used again within a run, by another process; init is one process. */
    return event->exec_id[0] || !newest ? head->incarnation : "";
}

static bool is_repeat(const process_record_t *process, const incarnations_event_t *event)
{
    bool seen = process->seen & SEEN(event->kind);
    switch (event->kind) {
    case TASK_EVENT_CREATE:
    case TASK_EVENT_START:
    case TASK_EVENT_EXIT:
    case TASK_EVENT_DELETE:
    case TASK_EVENT_EXEC_STARTED:
        return seen && (!event->exec_id[0] || process->pid == event->pid);
    case TASK_EVENT_EXEC_ADDED:
    case TASK_EVENT_OTHER:
        return process_record_has_recent(process, event->kind, event->time);
    }
    return false;
}

static void remember(process_record_t *process, const incarnations_event_t *event)
{
    bool is_exec = event->exec_id[0];
    bool is_added_again =
        event->kind == TASK_EVENT_EXEC_ADDED && (process->seen & SEEN(event->kind));
    bool is_another = event->pid && process->pid && process->pid != event->pid;
    bool is_new_exec = is_exec && (is_added_again || is_another);
    if (is_new_exec) {
        process->seen = 0;
        process->pid = 0;
        process->keep_until = 0;
    }
    process->seen |= SEEN(event->kind);
    if (!process->pid)
        process->pid = event->pid;
    process_record_add_recent(process, event->kind, event->time);
}

bool incarnations_note(txn_t *txn, incarnations_event_t *event)
{
    head_record_t head;
    event->incarnation[0] = '\0';
    if (!event->id[0] || !head_record_get(txn, event->ns, event->id, &head))
        return true;
    const char *incarnation = choose(txn, event, &head);
    if (!incarnation[0])
        return true;
    snprintf(event->incarnation, sizeof event->incarnation, "%s", incarnation);

    process_record_t process;
    store_key_t key = key_of(event, incarnation);
    process_record_get(txn, &key, &process);
    if (is_repeat(&process, event))
        return false;
    remember(&process, event);
    if (event->exec_id[0] && event->kind == TASK_EVENT_EXIT && !process.keep_until) {
        int64_t now = util_now_ns();
        process.keep_until = now + INCARNATIONS_KEEP_EXEC_NS;
        expiry_add(txn, EXPIRY_PROCESS, key.bytes, key.size, process.keep_until, now);
    }
    process_record_put(txn, &key, &process);
    return true;
}

/* Expiry ----------------------------------------------------------------------------------------
 */

void incarnations_forget_exec(txn_t *txn, const store_key_t *exec, int64_t now)
{
    process_record_t process;
    if (process_record_get(txn, exec, &process) &&
        (!process.keep_until || process.keep_until > now))
        return; /* used again: a later entry, or the end of the task, will come for it */
    txn_delete(txn, TABLE_PROCESSES, exec->bytes, exec->size);
    txn_delete(txn, TABLE_EXITS, exec->bytes, exec->size);
}

/* Removes records of that prefix. What of the budget is left; 0 or less when there may be more. */
static int remove_prefix(txn_t *txn, table_t table, const store_key_t *prefix, int budget)
{
    while (budget > 0) {
        scan_t scan;
        store_key_t key = {.size = 0};
        bool found = scan_seek(&scan, txn, table, prefix->bytes, prefix->size) &&
                     scan_has_prefix(&scan, prefix) && scan.key.size <= sizeof key.bytes;
        if (found) {
            key.size = scan.key.size;
            memcpy(key.bytes, scan.key.data, key.size);
        }
        scan_close(&scan);
        if (!found)
            break;
        txn_delete(txn, table, key.bytes, key.size);
        budget--;
    }
    return budget;
}

bool incarnations_forget(txn_t *txn, const store_key_t *init, int budget)
{
    /* The key of init, with its empty exec id, is the prefix of all processes of the run. */
    budget = remove_prefix(txn, TABLE_EXITS, init, budget);
    budget = remove_prefix(txn, TABLE_PROCESSES, init, budget);
    if (budget <= 0)
        return false;
    const char *ns = (const char *)init->bytes;
    const char *id = ns + strlen(ns) + 1;
    const char *incarnation = id + strlen(id) + 1;
    head_record_t head;
    if (head_record_get(txn, ns, id, &head) && !head.live &&
        !strcmp(head.incarnation, incarnation)) {
        store_key_t key = STORE_KEY(ns, id);
        txn_delete(txn, TABLE_HEADS, key.bytes, key.size);
    }
    return true;
}
