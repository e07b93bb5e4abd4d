/* Runs of containers: events of shims find theirs, and what is kept of them expires. */
#include "workers/metadata/incarnations.h"

#include "workers/metadata/exit_records.h"
#include "workers/metadata/expiry.h"
#include "workers/metadata/process_record.h"

#include <string.h>

/* Makes `key`, whose first `container` bytes are NS and ID, that of the event's process in a run.
 */
static uint32_t pid_in(txn_t *txn, const incarnations_event_t *event, const char *incarnation,
                       store_key_t *key, size_t container, process_record_t *ret)
{
    key->size = container;
    store_key_add(key, incarnation);
    store_key_add(key, event->exec_id);
    process_record_get(txn, key, ret);
    return ret->state.pid;
}

/* The newest run, unless the process id or the stamp shows that the event is a late one of the run
 * before. NULL when it is of none that is known. `ret` is the record of the event's process that
 * was read last, which is that of the run, if any was. `key` is that of the container, and
 * something behind it then. */
static const char *choose(txn_t *txn, const incarnations_event_t *event, const head_record_t *head,
                          store_key_t *key, process_record_t *ret)
{
    if (!event->pid)
        return head->previous[0] && event->time < head->begun ? head->previous : head->incarnation;
    process_record_t previous;
    size_t container = key->size;
    uint32_t newest = pid_in(txn, event, head->incarnation, key, container, ret);
    if (newest == event->pid)
        return head->incarnation;
    if (head->previous[0] &&
        pid_in(txn, event, head->previous, key, container, &previous) == event->pid) {
        *ret = previous;
        return head->previous;
    }
    /* An exec id may be used again within a run, by another process; init is one process. */
    return event->exec_id[0] || !newest ? head->incarnation : NULL;
}

incarnations_found_t incarnations_find(txn_t *txn, const incarnations_event_t *event,
                                       store_key_t *ret, process_record_t *ret_init)
{
    head_record_t head;
    ret_init->version = 0;
    if (!event->id[0])
        return INCARNATIONS_NONE;
    *ret = STORE_KEY(event->ns, event->id);
    size_t container = ret->size;
    if (!head_record_at(txn, ret, &head))
        return INCARNATIONS_NONE;
    const char *incarnation = choose(txn, event, &head, ret, ret_init);
    if (!incarnation)
        return INCARNATIONS_FOREIGN;
    if (event->exec_id[0])
        ret_init->version = 0;
    ret->size = container;
    store_key_add(ret, incarnation);
    return INCARNATIONS_FOUND;
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
    exit_records_delete(txn, exec);
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
        if (table == TABLE_EXITS)
            exit_records_delete(txn, &key);
        else
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
