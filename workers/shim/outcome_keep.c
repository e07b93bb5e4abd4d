/* Outcomes that a predecessor may not have recorded, and kills that were answered before they were.
 */
#include "workers/shim/outcome.h"

#include "common/log.h"
#include "common/proc.h"
#include "workers/shim/record.h"
#include "workers/shim/start_ended.h"

#define KEPT_NS ((int64_t)24 * 3600 * 1000000000) /* a request may come again for so long */

typedef struct keeping {
    unsigned left; /* answers that are waited for */
    status_t st;
    link_reply_t *done;
    void *arg;
} keeping_t;

static keeping_t *keeping_new(link_reply_t *done, void *arg)
{
    keeping_t *self = zmalloc(sizeof *self);
    *self = (keeping_t){.left = 1, .st = {.code = STATUS_OK}, .done = done, .arg = arg};
    return self;
}

static void on_kept(void *arg, const status_t *st, const void *answer)
{
    keeping_t *self = arg;
    (void)answer;
    if (st->code)
        self->st = *st;
    if (--self->left > 0)
        return;
    self->done(self->arg, &self->st, NULL);
    free(self);
}

static void keep(keeping_t *self, const process_ref_t *who, uint32_t pid, msg_id_t method,
                 const msg_uuid_t *id)
{
    const msg_started_t started = {.pid = pid};
    static const msg_empty_t nothing;
    msg_id_t kind = msg_type(method)->answer;
    msgpack_sbuffer answer;
    if (!msg_uuid_is_set(id))
        return;
    msgpack_sbuffer_init(&answer);
    msg_encode(kind, kind == MSG_started ? (const void *)&started : &nothing, &answer);
    const msg_request_record_t record = {
        .id = *id,
        .method = msg_type(method)->name,
        .ns = who->ns,
        .answer = {.data = (uint8_t *)answer.data, .size = answer.size},
        .target = who->id,
        .exec_id = who->exec_id[0] ? who->exec_id : NULL};
    self->left++;
    link_ask(who->manager->link, MSG_request_record, &record, NULL, 0, NULL, on_kept, self);
    msgpack_sbuffer_destroy(&answer);
}

/* Of one whose shim died before it could be asked: a Start was sent, and the process is there. */
static bool is_there(const process_t *process)
{
    return !process->task->shim && process->was_started && process->start &&
           proc_start_time((pid_t)process->pid) == process->start;
}

bool outcome_is_started(const process_t *process)
{
    bool is_beyond = process->state != PROCESS_CREATED && process->state != PROCESS_UNKNOWN;
    return process->pid && !process->is_unproven && (is_beyond || is_there(process)) &&
           !process_waits_for_start(process);
}

static void fix(process_t *process)
{
    process->is_unproven = !outcome_is_started(process);
}

void outcome_fix(task_t *task)
{
    fix(&task->init);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        fix(exec);
}

/* An exec to whose shim a predecessor sent a Start, and that was lost with it: its exit record
 * tells whether it ran. */
typedef struct lost {
    keeping_t *keeping;
    process_ref_t who;
    msg_uuid_t request, starter;
    int64_t sent_at;
} lost_t;

static void on_exit_record(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE lost_t *lost = arg;
    static const status_t ok;
    const msg_exited_t *exited = answer;
    if (!st->code && start_ended_is_proof(exited, lost->sent_at)) {
        keep(lost->keeping, &lost->who, 0, MSG_task_exec, &lost->request);
        keep(lost->keeping, &lost->who, exited->pid, MSG_task_start, &lost->starter);
    }
    on_kept(lost->keeping, st->code == STATUS_NOT_FOUND ? &ok : st, NULL);
}

static void keep_lost(keeping_t *self, const process_t *process)
{
    lost_t *lost = zmalloc(sizeof *lost);
    *lost = (lost_t){.keeping = self,
                     .who = process_ref(process),
                     .request = process->request,
                     .starter = process->starter,
                     .sent_at = process->sent_at};
    const msg_exit_get_t ask = {.id = lost->who.id, .exec_id = lost->who.exec_id};
    self->left++;
    link_ask(lost->who.manager->link, MSG_exit_get, &ask, lost->who.ns, 0, NULL, on_exit_record,
             lost);
}

static void keep_process(keeping_t *self, const process_t *process)
{
    bool is_exec = process->exec_id[0];
    const process_ref_t who = process_ref(process);
    if (!process->is_inherited)
        return;
    if (is_exec && !process->pid && msg_uuid_is_set(&process->starter)) {
        keep_lost(self, process);
        return;
    }
    if (is_exec ? process->state != PROCESS_UNKNOWN : process->pid > 0)
        keep(self, &who, process->pid, is_exec ? MSG_task_exec : MSG_task_create,
             &process->request);
    if (outcome_is_started(process))
        keep(self, &who, process->pid, MSG_task_start, &process->starter);
}

/* Outcomes of requests that are older may have been forgotten. */
static bool is_young(const task_t *task)
{
    return task->bundle && record_intent_time(task->bundle) > util_now_ns() - KEPT_NS;
}

void outcome_keep(const process_t *process, link_reply_t *done, void *arg)
{
    keeping_t *self = keeping_new(done, arg);
    if (is_young(process->task))
        keep_process(self, process);
    on_kept(self, &self->st, NULL);
}

/* One that a predecessor's death, or the journal's refusal, has left unrecorded. */
static void keep_kills(keeping_t *self, const task_t *task)
{
    const process_ref_t who = process_ref(&task->init);
    for (size_t i = 0; i < task->begun.count; i++)
        if (task->begun.entries[i].kind == BEGUN_ANSWERED)
            keep(self, &who, 0, MSG_task_kill, &task->begun.entries[i].id);
}

static void on_resumed(void *arg, const status_t *st, const void *answer)
{
    (void)arg;
    (void)answer;
    if (st->code)
        log_error("outcomes of a predecessor's kills: %s; once more later", st->text);
}

void outcome_resume(const task_t *task)
{
    keeping_t *self = keeping_new(on_resumed, NULL);
    keep_kills(self, task);
    on_kept(self, &self->st, NULL);
}

void outcome_keep_all(const task_t *task, link_reply_t *done, void *arg)
{
    keeping_t *self = keeping_new(done, arg);
    keep_kills(self, task);
    if (is_young(task)) {
        keep_process(self, &task->init);
        for (const process_t *exec = zhashx_first(task->execs); exec;
             exec = zhashx_next(task->execs))
            keep_process(self, exec);
    }
    on_kept(self, &self->st, NULL);
}
