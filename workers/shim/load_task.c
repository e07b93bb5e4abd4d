/* One task of a predecessor being looked at. A shim that answers (load_shim.c) is adopted; where it
 * is gone, its container is kept as an orphan or buried; what never got as far as a shim is undone.
 * The journal, whose disk may be slow, is asked where nobody else knows: about a container whose
 * shim is gone, which may have been deleted, and for an intent that is lost. */
#include "workers/shim/load_internal.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "workers/shim/init_record.h"
#include "workers/shim/intent_mend.h"
#include "workers/shim/orphan.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"

#define PLACE_MS      100  /* a shim that has not answered by then holds no place any more */
#define MEND_AGAIN_MS 1000 /* before the journal is asked again for a lost intent */

void load_set_inspected(load_t *load)
{
    if (load->is_inspected)
        return;
    load->is_inspected = true;
    load_count_inspected(load->loader);
}

void load_give_place(load_t *load)
{
    if (!load->has_place)
        return;
    load->has_place = false;
    load->loader->running--;
}

/* The task may be used, or is gone; its place is free for the next. */
static void load_finish(load_t *load)
{
    loader_t *loader = load->loader;
    load_set_inspected(load);
    load_give_place(load);
    io_timer_stop(loader->manager->io, &load->again);
    io_timer_stop(loader->manager->io, &load->slow);
    free(load);
    loader->left--;
    load_next(loader);
}

/* the journal -------------------------------------------------------------------------------------
 */

static void on_incarnation(void *arg, const status_t *st, const void *answer)
{
    load_t *load = arg;
    load->told(load, st, st->code ? NULL : answer);
}

static void ask_journal(load_t *load, load_told_t *told)
{
    const task_t *task = load->task;
    const msg_incarnation_get_t ask = {.id = task->id, .incarnation = task->incarnation};
    load->told = told;
    link_ask(load->loader->manager->link, MSG_incarnation_get, &ask, task->ns, 0, NULL,
             on_incarnation, load);
}

/* Of a run that goes on either way. */
static void on_recorded(void *arg, const status_t *st, const void *answer)
{
    AUTO_FREE process_ref_t *ref = arg;
    (void)answer;
    if (st->code == STATUS_NOT_FOUND && process_ref_find(ref))
        log_warn("load %s/%s: its container has no record, but it runs: kept", ref->ns, ref->id);
}

static void look_for_record(const task_t *task)
{
    process_ref_t *ref = zmalloc(sizeof *ref);
    *ref = process_ref(&task->init);
    const msg_incarnation_get_t ask = {.id = task->id, .incarnation = task->incarnation};
    link_ask(task->manager->link, MSG_incarnation_get, &ask, task->ns, 0, NULL, on_recorded, ref);
}

/* outcomes ----------------------------------------------------------------------------------------
 */

void load_adopt(load_t *load)
{
    task_t *task = load->task;
    status_t ignored;
    FAILPOINT(&ignored, "load adopt");
    task_enter(task, TASK_LIVE);
    task_heard(task);
    look_for_record(task);
    log_info("load %s: adopted, pid %u is %s", task->key, task->init.pid,
             process_state_name(task->init.state));
    exits_wait_again(task);
    exec_deadline_resume_all(task);
    manager_unpark(task);
    FAILPOINT(&ignored, "load adopted");
    load_finish(load);
}

/* There is proof that no shim has it, and nothing of it shall be kept. */
static void bury(load_t *load)
{
    task_t *task = load->task;
    process_t *init = &task->init;
    status_t ignored;
    log_info("load %s: it has no shim any more", task->key);
    FAILPOINT(&ignored, "load bury");
    /* It was made, and each Start is written down before it is sent. */
    if (init->pid && init->state == PROCESS_UNKNOWN && !init->was_started)
        init->state = PROCESS_CREATED;
    bury_task(load->loader->manager, task);
    load_finish(load);
}

/* A task whose end is in the journal was being deleted. */
static void keep_or_bury(load_t *load, const status_t *st, const msg_container_t *container)
{
    manager_t *self = load->loader->manager;
    task_t *task = load->task;
    status_t ignored;
    (void)container;
    if (st->code == STATUS_NOT_FOUND || !orphan_load(self, task)) {
        bury(load);
        return;
    }
    manager_unpark(task);
    FAILPOINT(&ignored, "load kept");
    load_finish(load);
}

void load_shim_dead(load_t *load)
{
    load_set_inspected(load);
    ask_journal(load, keep_or_bury);
}

/* The shim lives and has no such container: Create never came to its end. */
static void on_ended(void *arg)
{
    bury(arg);
}

void load_undo(load_t *load)
{
    task_t *task = load->task;
    shim_t *shim = task->shim;
    status_t ignored;
    FAILPOINT(&ignored, "load undo");
    task->shim = NULL;
    if (--*shim_users(shim) == 0)
        ending_begin(load->loader->manager, shim, task->ns, task->id, false, on_ended, load);
    else
        bury(load);
}

static void on_slow(void *arg)
{
    load_t *load = arg;
    load_give_place(load);
    load_next(load->loader);
}

static void on_bundle_deleted(void *arg, const status_t *st, const void *answer)
{
    load_t *load = arg;
    (void)answer;
    if (st->code)
        log_warn("load %s: remove the bundle: %s", load->task->key, st->text);
    manager_remove_task(load->loader->manager, load->task);
    load_finish(load);
}

static void remove_bundle(load_t *load)
{
    msg_bundle_delete_t ask = {.id = load->task->id};
    link_ask(load->loader->manager->link, MSG_bundle_delete, &ask, load->task->ns, 0, NULL,
             on_bundle_deleted, load);
}

static void set_aside(load_t *load, const char *why)
{
    log_warn("load %s: set aside: %s", load->task->key, why);
    msg_bundle_quarantine_t ask = {.id = load->task->id, .why = why};
    link_ask(load->loader->manager->link, MSG_bundle_quarantine, &ask, load->task->ns, 0, NULL,
             on_bundle_deleted, load);
}

/* The intent is there. */
static void resume(load_t *load)
{
    task_t *task = load->task;
    status_t st;
    task->init.request = task->intent->request;
    begun_load(&task->begun, task->bundle);
    outcome_resume(task);
    deleter_load(&task->deleter, task->bundle);
    restart_load_mark(task);
    task->init.is_adopted = task->init.is_inherited = true;
    init_record_t made;
    if (init_record_read(task->bundle, &made)) {
        task->init.pid = made.pid; /* told also while the shim is mute */
        task->init.start = made.start;
        task->init.starter = made.starter;
        task->init.was_started = made.has_started;
    }
    task->runtime = util_strdup(task->intent->runtime);
    task->log = log_pipe_open(load->loader->manager->io, task->bundle, task->key, &st);
    if (record_read_endpoint(task->bundle, &load->endpoint, &st)) {
        load->endpoint = (endpoint_t){.version = 3}; /* downgraded if that is too much */
        snprintf(load->endpoint.address, sizeof load->endpoint.address, "%s",
                 task->intent->address);
    }
    load_connect(load);
}

static void go_on(load_t *load, const status_t *st)
{
    task_t *task = load->task;
    if (!st->code) {
        resume(load);
        return;
    }
    free(TAKE(task->intent));
    if (st->code == STATUS_NOT_FOUND) /* no shim can have been started */
        bury(load);
    else
        set_aside(load, st->text);
}

/* That it cannot be asked just now is no answer; damage is one. */
static bool is_answer(status_code_t code)
{
    return !code || code == STATUS_NOT_FOUND || code == STATUS_INVALID_ARGUMENT ||
           code == STATUS_DATA_LOSS || code == STATUS_INTERNAL;
}

static void mend_intent(load_t *load, const status_t *st, const msg_container_t *container);

static void on_mend_again(void *arg)
{
    ask_journal(arg, mend_intent);
}

/* Without a word of the container less would be written down than there was. */
static void mend_later(load_t *load, const status_t *st)
{
    io_set_t *io = load->loader->manager->io;
    log_line(complaint_level(&load->mending, st->code, LOG_LEVEL_WARN),
             "load %s: its intent is lost, and the journal does not answer: %s; trying again",
             load->task->key, st->text);
    manager_hold(load->task, "its intent is lost, and the journal does not answer: %s", st->text);
    load_give_place(load);
    io_timer_init(&load->again, on_mend_again, load);
    io_timer_in(io, &load->again, MEND_AGAIN_MS);
    load_next(load->loader);
}

static void mend_intent(load_t *load, const status_t *st, const msg_container_t *container)
{
    status_t mended = {.code = STATUS_OK};
    if (!is_answer(st->code)) {
        mend_later(load, st);
        return;
    }
    task_hold(load->task, NULL);
    io_timer_init(&load->again, load_again, load);
    intent_mend(load->loader->manager, load->task, container, load->task->intent, &mended);
    go_on(load, &mended);
}

static void inspect(load_t *load)
{
    task_t *task = load->task;
    status_t st = {.code = STATUS_OK};
    task->intent = zmalloc(sizeof *task->intent);
    if (record_read_intent(task->bundle, task->intent, &st) && intent_mend_is_due(task->bundle))
        ask_journal(load, mend_intent);
    else
        go_on(load, &st);
}

void load_task(loader_t *loader, task_t *task)
{
    load_t *load = zmalloc(sizeof *load);
    status_t ignored;
    FAILPOINT(&ignored, "load begin");
    *load = (load_t){.loader = loader, .task = task, .has_place = true};
    io_timer_init(&load->again, load_again, load);
    io_timer_init(&load->slow, on_slow, load);
    io_timer_in(loader->manager->io, &load->slow, PLACE_MS);
    loader->running++;
    task->load_place = NULL;
    if (!task->bundle && task->incarnation[0]) {
        bury(load); /* a run without a bundle */
        return;
    }
    if (!task->bundle) { /* it had no entries at all */
        remove_bundle(load);
        return;
    }
    if (!task->incarnation[0]) {
        set_aside(load, "it has no readable incarnation or config.json");
        return;
    }
    inspect(load);
}
