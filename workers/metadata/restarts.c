/* Restart policies. */
#include "workers/metadata/restarts.h"

#include "workers/metadata/containers.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/process_record.h"

#include <ctype.h>
#include <string.h>

#define NONE       "no"
#define ALWAYS     "always"
#define UNLESS     "unless-stopped"
#define FAILURE    "on-failure"
#define COUNT_MAX  1000000000ul
#define ROWS_FIRST 64
#define NS_PER_MS  1000000

const restart_delays_t restart_delays_default = {.first = 100, .last = 60000, .reset = 10000};

/* Policies --------------------------------------------------------------------------------------
 */

/* "on-failure" or "on-failure:N"; `*max` is 0 without a limit. */
static bool parse_on_failure(const char *policy, unsigned long *max)
{
    size_t size = strlen(FAILURE);
    *max = 0;
    if (strncmp(policy, FAILURE, size))
        return false;
    if (!policy[size])
        return true;
    const char *digits = policy + size + 1;
    if (policy[size] != ':' || strlen(digits) > 10 || !isdigit((unsigned char)*digits) ||
        digits[strspn(digits, "0123456789")])
        return false;
    *max = strtoul(digits, NULL, 10);
    return *max > 0 && *max <= COUNT_MAX;
}

status_code_t restarts_check_policy(const char *method, const char *policy, status_t *st)
{
    unsigned long max;
    if (restarts_is_none(policy) || !strcmp(policy, ALWAYS) || !strcmp(policy, UNLESS) ||
        parse_on_failure(policy, &max))
        return STATUS_OK;
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      "%s: restart is %s, not no, always, on-failure, on-failure:N (N from 1 to "
                      "%lu) or unless-stopped",
                      method, policy, COUNT_MAX);
}

bool restarts_is_none(const char *policy)
{
    return !policy || !strcmp(policy, NONE);
}

/* Whether a run that ended so is followed by another one. */
static bool wants(const msg_restart_t *restart, const msg_exited_t *exited)
{
    unsigned long max;
    if (!strcmp(restart->policy, ALWAYS) || !strcmp(restart->policy, UNLESS))
        return true;
    if (!parse_on_failure(restart->policy, &max))
        return false;
    bool has_failed = exited->unknown || exited->exit_status;
    return has_failed && (!max || restart->count + restart->attempt < max);
}

static int64_t delay_ns(const restart_delays_t *delays, uint32_t failures)
{
    if (failures == 0)
        return 0;
    int64_t delay = delays->first;
    for (uint32_t i = 1; i < failures && delay < delays->last; i++)
        delay *= 2;
    return (delay < delays->last ? delay : delays->last) * NS_PER_MS;
}

/* Records ---------------------------------------------------------------------------------------
 */

static msg_restart_t *copy_of(const msg_restart_t *restart, msgpack_zone *zone)
{
    msg_restart_t *copy = msgpack_zone_malloc(zone, sizeof *copy);
    if (!copy)
        abort();
    *copy = restart ? *restart : (msg_restart_t){.policy = NONE};
    return copy;
}

static void clear_pending(msg_restart_t *restart)
{
    restart->pending = NULL;
    restart->due_at = 0;
    restart->attempt = 0;
}

void restarts_set_policy(msg_container_t *record, const char *policy, msgpack_zone *zone)
{
    if (!policy)
        return;
    msg_restart_t *restart = copy_of(record->restart, zone);
    restart->policy = policy;
    if (!strcmp(policy, NONE))
        clear_pending(restart);
    record->restart = restart;
}

/* The container's record with a restart part that may be changed; NULL when it has no policy. */
static msg_restart_t *look(txn_t *txn, const call_t *call, const char *ns, const char *id,
                           msg_container_t *record)
{
    if (!containers_look(txn, ns, id, call->zone, record) || !record->restart)
        return NULL;
    msg_restart_t *restart = copy_of(record->restart, call->zone);
    record->restart = restart;
    return restart;
}

static void tell(const msg_container_t *record, msg_restart_due_t *ret)
{
    if (record->restart && record->restart->pending)
        *ret = (msg_restart_due_t){.ns = record->ns, .id = record->id, .restart = record->restart};
}

void restarts_tell(txn_t *txn, const call_t *call, const char *id)
{
    msg_container_t record;
    if (containers_look(txn, call->ns, id, call->zone, &record))
        tell(&record, call->answer);
}

/* Runs ------------------------------------------------------------------------------------------
 */

/* A fifo's reader was the client, which is not there to read from the next run. */
static const char *log_uri(const char *path)
{
    return path && strstr(path, "://") ? path : NULL;
}

status_code_t restarts_begin(txn_t *txn, const call_t *call, msg_container_t *record, status_t *st)
{
    const msg_incarnation_begin_t *ask = call->ask;
    bool is_due = record->restart && record->restart->pending;
    if (ask->restart_of && !(is_due && !strcmp(record->restart->pending, ask->restart_of)))
        return status_set(st, STATUS_ABORTED, "container %s: no restart of that run is due",
                          ask->id);
    if (!record->restart)
        return STATUS_OK;
    msg_restart_t *restart = copy_of(record->restart, call->zone);
    restart->began_at = call->now;
    if (!ask->restart_of) {
        clear_pending(restart);
        restart->stopped = NULL;
        restart->why = NULL;
        restart->count = restart->failures = 0;
        restart->terminal = ask->terminal;
        restart->stdout = log_uri(ask->stdout);
        restart->stderr = log_uri(ask->stderr);
    }
    record->restart = restart;
    containers_keep(txn, record);
    return STATUS_OK;
}

/* A run that has ended shows that the restart which made it came off, noted or not. */
static void settle(msg_restart_t *restart, const char *incarnation)
{
    if (!restart->pending || !strcmp(restart->pending, incarnation))
        return;
    restart->count++;
    clear_pending(restart);
}

static void decide(msg_restart_t *restart, const call_t *call, const char *incarnation,
                   const msg_exited_t *exited, const char *stopped)
{
    settle(restart, incarnation);
    if (stopped) {
        restart->stopped = stopped;
        clear_pending(restart);
        return;
    }
    if (!exited || restart->stopped || !wants(restart, exited))
        return;
    int64_t end = exited->exited_at ? exited->exited_at : call->now;
    if (end - restart->began_at >= (int64_t)call->delays->reset * NS_PER_MS)
        restart->failures = 0;
    restart->pending = incarnation;
    restart->due_at = call->now + delay_ns(call->delays, restart->failures++);
}

void restarts_on_exit(txn_t *txn, const call_t *call, const msg_incarnation_exit_t *exit)
{
    msg_container_t record;
    head_record_t head;
    msg_restart_t *restart = look(txn, call, call->ns, exit->id, &record);
    if (!restart || !head_record_get(txn, call->ns, exit->id, &head) || !head.live ||
        strcmp(head.incarnation, exit->incarnation))
        return;
    const msg_exited_t exited = {
        .exit_status = exit->exit_status, .exited_at = exit->exited_at, .unknown = exit->unknown};
    if (exit->stopped || !exit->unstarted) {
        decide(restart, call, exit->incarnation, &exited, exit->stopped);
        containers_keep(txn, &record);
    }
    tell(&record, call->answer);
}

void restarts_on_end(txn_t *txn, const call_t *call, const msg_exited_t *exited)
{
    const msg_incarnation_end_t *ask = call->ask;
    msg_container_t record;
    msg_restart_t *restart = look(txn, call, call->ns, ask->id, &record);
    if (!restart)
        return;
    if (exited || ask->stopped) {
        decide(restart, call, ask->incarnation, exited, ask->stopped);
        containers_keep(txn, &record);
    }
    tell(&record, call->answer);
}

void restarts_on_stop(txn_t *txn, const call_t *call, const msg_request_record_t *request)
{
    msg_container_t record;
    head_record_t head;
    if (!request->stopped || !request->incarnation || !request->ns || !request->target)
        return;
    msg_restart_t *restart = look(txn, call, request->ns, request->target, &record);
    bool is_present = restart && head_record_get(txn, request->ns, request->target, &head) &&
                      head.live && !strcmp(head.incarnation, request->incarnation);
    if (!is_present)
        return;
    restart->stopped = request->stopped;
    containers_keep(txn, &record);
}

/* restart.note ----------------------------------------------------------------------------------
 */

static void note_failure(msg_restart_t *restart, const call_t *call)
{
    static const msg_exited_t failed = {.exit_status = 1};
    const msg_restart_note_t *ask = call->ask;
    if (ask->attempt != restart->attempt)
        return;
    restart->attempt++;
    restart->why = ask->failed;
    restart->due_at = call->now + delay_ns(call->delays, restart->failures++);
    if (!wants(restart, &failed))
        clear_pending(restart);
}

status_code_t restarts_note(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_restart_note_t *ask = call->ask;
    msg_container_t record;
    msg_restart_t *restart = look(txn, call, call->ns, ask->id, &record);
    (void)st;
    if (!restart)
        return STATUS_OK;
    if (restart->pending && !strcmp(restart->pending, ask->pending)) {
        if (ask->stopped) {
            restart->stopped = ask->stopped;
            clear_pending(restart);
        } else if (ask->failed) {
            note_failure(restart, call);
        } else {
            restart->count++;
            restart->why = NULL;
            clear_pending(restart);
        }
        containers_keep(txn, &record);
    }
    tell(&record, call->answer);
    return STATUS_OK;
}

/* restart.list ----------------------------------------------------------------------------------
 */

/* As docker's: always means also that a stop ends with the life of the cluster it was made in. What
 * becomes of a run whose end is not recorded yet is decided with that. */
static void wake(txn_t *txn, const call_t *call, msg_container_t *record, msg_restart_t *restart)
{
    const msg_restart_list_t *ask = call->ask;
    head_record_t head;
    bool is_over =
        restart->stopped && strcmp(restart->stopped, ask->life) && !strcmp(restart->policy, ALWAYS);
    if (restart->pending || !is_over)
        return;
    head_record_get(txn, record->ns, record->id, &head);
    incarnations_stage_t stage = incarnations_stage(txn, record->ns, record->id);
    restart->stopped = NULL;
    restart->failures = 0;
    if (stage == INCARNATIONS_MADE || stage == INCARNATIONS_STARTED) {
        containers_keep(txn, record);
        return;
    }
    char *run = msgpack_zone_malloc(call->zone, UTIL_UUID_SIZE);
    if (!run)
        abort();
    util_uuid(run);
    if (head.live)
        memcpy(run, head.incarnation, UTIL_UUID_SIZE);
    restart->pending = run;
    restart->due_at = call->now;
    containers_keep(txn, record);
}

static void *grow(msgpack_zone *zone, void *items, size_t count, size_t size)
{
    bool is_full = count == 0 || (count >= ROWS_FIRST && !(count & (count - 1)));
    if (!is_full)
        return items;
    void *more = msgpack_zone_malloc(zone, (count ? count * 2 : ROWS_FIRST) * size);
    if (!more)
        abort();
    if (count)
        memcpy(more, items, count * size);
    return more;
}

/* Those with a policy, collected before anything is written: that would end the walk. */
static size_t collect(txn_t *txn, const call_t *call, msg_container_t **ret)
{
    scan_t scan;
    size_t count = 0;
    for (bool any = scan_seek(&scan, txn, TABLE_CONTAINERS, NULL, 0); any; any = scan_next(&scan)) {
        msg_container_t record;
        status_t st;
        if (msg_decode(MSG_container, scan.value.data, scan.value.size, call->zone, &record, &st) ||
            !record.restart || !strcmp(record.restart->policy, NONE))
            continue;
        *ret = grow(call->zone, *ret, count, sizeof **ret);
        (*ret)[count++] = record;
    }
    scan_close(&scan);
    return count;
}

status_code_t restarts_list(txn_t *txn, const call_t *call, status_t *st)
{
    msg_restarts_t *answer = call->answer;
    msg_container_t *records = NULL;
    size_t count = collect(txn, call, &records);
    (void)st;
    for (size_t i = 0; i < count; i++) {
        msg_restart_t *restart = copy_of(records[i].restart, call->zone);
        records[i].restart = restart;
        wake(txn, call, &records[i], restart);
        if (!restart->pending)
            continue;
        answer->restarts.items = grow(call->zone, answer->restarts.items, answer->restarts.count,
                                      sizeof *answer->restarts.items);
        tell(&records[i], &answer->restarts.items[answer->restarts.count++]);
    }
    return STATUS_OK;
}
