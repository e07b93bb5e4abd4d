/* What is done when a shim has died under its tasks. Those that were started are kept as orphans,
 * unless they are not to be; the others are buried: their containers are ended through the shim's
 * `delete` verb, their end is recorded, and everything they had on the machine is removed. */
#include "common/log.h"
#include "workers/shim/debt.h"
#include "workers/shim/manager.h"
#include "workers/shim/op.h"
#include "workers/shim/orphan.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"

#define REAPED_WAIT_MS 2000
#define AGAIN_MS       1000 /* before a journal that could not take its end is asked again */

typedef struct burial {
    op_t op;
    manager_t *manager;
    task_t *task;
    bool has_outcomes; /* that the journal has not yet */
    io_timer_t again;
    complaint_t complaint;
} burial_t;

static burial_t *burial_of(op_t *op)
{
    return (burial_t *)op;
}

static void on_asked(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    if (st->code && st->code != STATUS_NOT_FOUND)
        log_error("%s: %s", ((op_t *)arg)->label, st->text);
    op_ok(arg); /* the rest must be removed all the same */
}

/* The journal may take it later: a disk that is full has room again some day. */
static bool is_for_later(const status_t *st)
{
    return st->code == STATUS_RESOURCE_EXHAUSTED || st->code == STATUS_UNAVAILABLE ||
           st->code == STATUS_DEADLINE_EXCEEDED;
}

static void ask_again_later(burial_t *burial, const status_t *st)
{
    log_line(complaint_level(&burial->complaint, st->code, LOG_LEVEL_WARN), "%s: %s; trying again",
             burial->op.label, st->text);
    manager_hold(burial->task, PARK_JOURNAL ": %s", st->text);
    io_timer_in(burial->manager->io, &burial->again, AGAIN_MS);
}

static void on_again(void *arg)
{
    op_t *op = arg;
    if (op->undoing)
        op_start(op);
    else
        op->plan[op->step].ask(op);
}

/* outcomes ----------------------------------------------------------------------------------------
 */

/* Nothing keeps its processes from being ended, and nothing tells afterwards whether they ran. */
static void on_outcomes_first(void *arg, const status_t *st, const void *answer)
{
    burial_t *burial = arg;
    burial->has_outcomes = is_for_later(st);
    if (burial->has_outcomes)
        outcome_fix(burial->task);
    on_asked(arg, st, answer);
}

static void ask_outcomes(op_t *op)
{
    outcome_keep_all(burial_of(op)->task, on_outcomes_first, op);
}

static void on_outcomes(void *arg, const status_t *st, const void *answer)
{
    if (is_for_later(st))
        ask_again_later(arg, st);
    else
        on_asked(arg, st, answer);
}

static void ask_outcomes_again(op_t *op)
{
    if (burial_of(op)->has_outcomes)
        outcome_keep_all(burial_of(op)->task, on_outcomes, op);
    else
        op_ok(op);
}

/* -------------------------------------------------------------------------------------------------
 */

static void on_verb_deleted(void *arg, const status_t *st, const msg_exited_t *exited)
{
    burial_t *burial = arg;
    (void)exited; /* its code is always 137, its time that of the burial */
    if (st->code)
        log_warn("%s: %s", burial->op.label, st->text);
    orphan_kill_all(burial->task); /* what it has not ended, whatever it says */
    op_ok(&burial->op);
}

static void ask_verb(op_t *op)
{
    burial_t *burial = burial_of(op);
    if (!burial->task->intent || !burial->task->bundle) {
        op_ok(op);
        return;
    }
    verb_delete(burial->manager, burial->task, on_verb_deleted, burial);
}

/* how it ended ------------------------------------------------------------------------------------
 */

static void record_unknown(burial_t *burial, process_t *process)
{
    if (process_may_have_run(process))
        exits_record(burial->manager, process,
                     &(exit_news_t){.status = 137,
                                    .at = util_now_ns(),
                                    .source = "none",
                                    .why = "its shim was lost; it was killed if it still ran"});
}

static void on_reaped(void *arg, const status_t *st, const void *answer)
{
    burial_t *burial = arg;
    const msg_reaped_t *reaped = answer;
    task_t *task = burial->task;
    if (!st->code && process_may_have_run(&task->init))
        orphan_record_end(burial->manager, &task->init, (int)reaped->wait_status, reaped->time);
    record_unknown(burial, &task->init);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        record_unknown(burial, exec);
    op_ok(&burial->op);
}

/* The supervisor inherited it, and has reaped it if it was killed just now. */
static void ask_reaped(op_t *op)
{
    burial_t *burial = burial_of(op);
    const process_t *init = &burial->task->init;
    const msg_cluster_reaped_t ask = {.pid = init->pid, .start = init->start};
    if (process_may_have_run(init) && !init->has_exited && init->start)
        link_ask(burial->manager->link, MSG_cluster_reaped, &ask, NULL, REAPED_WAIT_MS, NULL,
                 on_reaped, burial);
    else
        on_reaped(burial, &(status_t){.code = STATUS_NOT_FOUND}, NULL);
}

/* What the journal says if it does not know better. */
static const char *why_unknown(const task_t *task)
{
    if (!task->bundle)
        return "its bundle is gone: the machine was restarted, or somebody removed it";
    return task->init.state == PROCESS_UNKNOWN ? "it was deleted, or lost with its shim"
                                               : task->init.exit_why;
}

/* Its bundle is all that tells a successor of a run that has ended; so it stays until the journal
 * has the end. */
static void on_journalled(void *arg, const status_t *st, const void *answer)
{
    burial_t *burial = arg;
    if (!st->code)
        restart_due(burial->manager, answer);
    if (is_for_later(st)) {
        ask_again_later(burial, st);
        return;
    }
    manager_explain(burial->task, PARK_BURYING);
    on_asked(arg, st, NULL);
}

static void ask_journal(op_t *op)
{
    burial_t *burial = burial_of(op);
    const process_t *init = &burial->task->init;
    msg_incarnation_end_t ask = {.id = burial->task->id,
                                 .incarnation = burial->task->incarnation,
                                 .undone = !init->pid && burial->task->bundle,
                                 .pid = init->pid,
                                 .exit_status = init->exit_status,
                                 .exited_at = init->exited_at,
                                 .unknown = why_unknown(burial->task) != NULL,
                                 .why = why_unknown(burial->task),
                                 .shim_lost = true,
                                 .stopped = restart_stopped_in(burial->task)};
    deleter_sign(&burial->task->deleter, &ask);
    link_ask(burial->manager->link, MSG_incarnation_end, &ask, burial->task->ns, 0, NULL,
             on_journalled, op);
}

static void on_bundle_deleted(void *arg, const status_t *st, const void *answer)
{
    const burial_t *burial = arg;
    const task_t *task = burial->task;
    (void)answer;
    if (st->code && st->code != STATUS_NOT_FOUND)
        debt_add(burial->manager, task->ns, task->id, task->incarnation, st);
    op_ok(arg);
}

static void ask_bundle(op_t *op)
{
    burial_t *burial = burial_of(op);
    /* Also when there was none: a predecessor's create of it may have been on its way still. */
    msg_bundle_delete_t ask = {.id = burial->task->id, .incarnation = burial->task->incarnation};
    link_ask(burial->manager->link, MSG_bundle_delete, &ask, burial->task->ns, 0, NULL,
             on_bundle_deleted, op);
}

/* clang-format off */
static const op_step_t burial_plan[] = {
    {"record outcomes", ask_outcomes, NULL},
    {"delete verb", ask_verb, NULL},
    {"how it ended", ask_reaped, NULL},
    {"record outcomes again", ask_outcomes_again, NULL},
    {"journal", ask_journal, NULL},
    {"delete bundle", ask_bundle, NULL},
    {NULL, NULL, NULL},
};
/* clang-format on */

static bool is_delete(const request_t *request)
{
    const msg_task_delete_t *ask = request_ask(request);
    return request_method(request) == MSG_task_delete && !ask->exec_id;
}

/* Who wanted it deleted meanwhile is told how it ended, unless it never came to be: the first one,
 * for others find it deleted, as all do where it was deleted before. */
static void settle_delete(burial_t *burial)
{
    task_t *task = burial->task;
    bool is_deleted = msg_uuid_is_set(&task->deleter.request) || zlistx_size(task->deleters);
    request_t *request =
        task->init.pid && !is_deleted ? park_take_if(task->parked, is_delete) : NULL;
    if (request && !restart_stop(burial->manager, request, task->id))
        zlistx_add_end(task->deleters, request);
}

static void on_finished(op_t *op, const status_t *st)
{
    burial_t *burial = burial_of(op);
    manager_t *self = burial->manager;
    if (st->code) { /* everything that is left must be removed all the same */
        log_warn("%s: %s; beginning again", op->label, st->text);
        io_timer_in(self->io, &burial->again, AGAIN_MS);
        return;
    }
    log_info("%s: done", op->label);
    settle_delete(burial);
    manager_remove_task(self, burial->task);
    free(burial);
}

void bury_task(manager_t *self, task_t *task)
{
    burial_t *burial = zmalloc(sizeof *burial);
    burial->manager = self;
    burial->task = task;
    burial->op.name = "bury";
    burial->op.plan = burial_plan;
    burial->op.finished = on_finished;
    io_timer_init(&burial->again, on_again, burial);
    snprintf(burial->op.label, sizeof burial->op.label, "bury %s", task->key);
    if (task->phase != TASK_LOADING)
        task_enter(task, TASK_BURYING);
    task->unresponsive = false;
    manager_explain(task, PARK_BURYING);
    op_start(&burial->op);
}

void bury_shim(manager_t *self, shim_t *shim)
{
    zlistx_t *victims = zlistx_new();
    for (task_t *task = task_table_first(self->tasks); task; task = task_table_next(self->tasks)) {
        if (task->shim != shim)
            continue;
        task->shim = NULL;
        /* Others are in the hands of an operation, whose next call to the shim fails. */
        if (task->phase == TASK_LIVE)
            zlistx_add_end(victims, task);
    }
    shim_remove_socket(shim_endpoint(shim)->address);
    zhashx_delete(self->shims, shim_endpoint(shim)->address);
    shim_destroy(&shim);
    for (task_t *task = zlistx_first(victims); task; task = zlistx_next(victims)) {
        if (orphan_is_kept(task))
            orphan_begin(self, task);
        else
            bury_task(self, task);
    }
    zlistx_destroy(&victims);
}

void bury_all(void *arg, shim_t *shim)
{
    log_warn("shim %u has died", shim_endpoint(shim)->shim_pid);
    bury_shim(arg, shim);
}
