/* One task of a predecessor being looked at. A shim that answers is adopted; where it is gone, its
 * container is kept as an orphan or buried; what never got as far as a shim is undone. The journal,
 * whose disk may be slow, is asked where nobody else knows: about a container whose shim is gone,
 * which may have been deleted, and for an intent that is lost. */
#include "workers/shim/load_internal.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "common/proc.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/init_record.h"
#include "workers/shim/intent_mend.h"
#include "workers/shim/orphan.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"
#include "workers/shim/shim_process.h"
#include "workers/shim/state.h"

#define PLACE_MS      100  /* a shim that has not answered by then holds no place any more */
#define LOAD_AGAIN_MS 2000 /* before a mute shim is asked again */

typedef struct load load_t;

/* Goes on with what the journal said of the run; `container` is NULL when it did not tell. */
typedef void load_told_t(load_t *load, const status_t *st, const msg_container_t *container);

struct load {
    loader_t *loader;
    task_t *task;
    endpoint_t endpoint;
    io_timer_t again, slow;
    unsigned execs;    /* whose state was asked and is not known yet */
    load_told_t *told; /* while the journal is asked */
    bool is_inspected, has_place, is_downgraded;
};

static void set_inspected(load_t *load)
{
    if (load->is_inspected)
        return;
    load->is_inspected = true;
    load_count_inspected(load->loader);
}

static void give_place(load_t *load)
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
    set_inspected(load);
    give_place(load);
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

static void adopt(load_t *load)
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

static void on_shim_dead(load_t *load)
{
    set_inspected(load);
    ask_journal(load, keep_or_bury);
}

/* The shim lives and has no such container: Create never came to its end. */
static void on_ended(void *arg)
{
    bury(arg);
}

static void undo(load_t *load)
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

/* Slow is not dead: a mute shim stays listed, keeps nobody else from being looked at, and is asked
 * until it answers or its process ends. */
static void ask_later(load_t *load, const char *why)
{
    task_t *task = load->task;
    status_t st;
    if (!task->unresponsive)
        log_warn("load %s: its shim does not answer: %s", task->key, why);
    task->unresponsive = true;
    set_inspected(load);
    give_place(load);
    if (task->shim && shim_seek(task->shim, &st))
        log_debug("load %s: %s", task->key, st.text);
    io_timer_in(load->loader->manager->io, &load->again, LOAD_AGAIN_MS);
    load_next(load->loader);
}

/* execs -------------------------------------------------------------------------------------------
 */

static void on_exec_state(void *arg, const status_t *st, process_t *process)
{
    load_t *load = arg;
    if (process && st->code == STATUS_NOT_FOUND) {
        exec_record_remove(load->task->bundle, process->exec_id); /* it never came to be */
        task_remove_exec(load->task, process);
    }
    if (--load->execs > 0)
        return;
    if (load->task->shim)
        adopt(load);
    else
        on_shim_dead(load);
}

static void ask_execs(load_t *load)
{
    task_t *task = load->task;
    manager_t *self = load->loader->manager;
    exec_record_load(task);
    load->execs = (unsigned)zhashx_size(task->execs);
    if (load->execs == 0) {
        adopt(load);
        return;
    }
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        state_ask(exec, self->timeouts.load, on_exec_state, load);
}

/* init --------------------------------------------------------------------------------------------
 */

static void on_state(void *arg, const status_t *st, process_t *process)
{
    load_t *load = arg;
    (void)process;
    if (load->task->shim == NULL) /* it died while it was asked */
        on_shim_dead(load);
    else if (st->code == STATUS_NOT_FOUND)
        undo(load);
    else if (st->code)
        ask_later(load, st->text);
    else
        ask_execs(load);
}

static void ask_connect(load_t *load);

static void on_connect(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    load_t *load = arg;
    task_t *task = load->task;
    manager_t *self = load->loader->manager;
    status_t outcome = *st;
    if (!task->shim) {
        on_shim_dead(load);
        return;
    }
    /* Its predecessor may have died before it wrote down what the shim really speaks. */
    if (outcome.code == STATUS_UNIMPLEMENTED && !load->is_downgraded &&
        shim_endpoint(task->shim)->version == 3) {
        load->is_downgraded = true;
        shim_downgrade(task->shim);
        ask_connect(load);
        return;
    }
    Containerd__Task__V2__ConnectResponse *answer =
        outcome.code ? NULL : containerd__task__v2__connect_response__unpack(NULL, size, payload);
    if (!outcome.code && !answer)
        status_set(&outcome, STATUS_INTERNAL, "Connect: undecodable answer");
    if (answer && !shim_watch(task->shim, answer->shim_pid, 0, &outcome))
        record_write_endpoint(task->bundle, task->intent, shim_endpoint(task->shim), &outcome);
    containerd__task__v2__connect_response__free_unpacked(answer, NULL);
    if (answer)
        state_ask(&task->init, self->timeouts.load, on_state, load);
    else
        ask_later(load, outcome.text);
}

static void ask_connect(load_t *load)
{
    manager_t *self = load->loader->manager;
    Containerd__Task__V2__ConnectRequest request = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
    request.id = load->task->id;
    shim_call(load->task->shim, "Connect", &request.base, self->timeouts.load, load->task->ns,
              on_connect, load);
}

/* A predecessor that died before it wrote down where the shim listens has left it running; where
 * it chose a place of its own, only the process tells. */
static bool find_process(load_t *load)
{
    const task_t *task = load->task;
    const cluster_t *cluster = worker_cluster(load->loader->manager->worker);
    endpoint_t endpoint;
    if (load->endpoint.shim_pid || !shim_process_find(cluster, task->ns, task->id, &endpoint))
        return false;
    load->endpoint = endpoint;
    return true;
}

/* A socket that nobody listens on, and no process: that is proof. Anything else is not. */
static void connect_shim(load_t *load)
{
    task_t *task = load->task;
    status_t st, ignored;
    if (FAILPOINT(&st, "load connect")) {
        ask_later(load, st.text);
        return;
    }
    task->shim = manager_shim(load->loader->manager, &load->endpoint, &st);
    if (task->shim) {
        ++*shim_users(task->shim);
        set_inspected(load);
        if (load->endpoint.shim_pid)
            shim_watch(task->shim, load->endpoint.shim_pid, load->endpoint.shim_start, &ignored);
        ask_connect(load);
        return;
    }
    if (st.code == STATUS_UNAVAILABLE && find_process(load)) {
        connect_shim(load);
        return;
    }
    AUTO_CLOSE int process = load->endpoint.shim_pid ? proc_open((pid_t)load->endpoint.shim_pid,
                                                                 load->endpoint.shim_start)
                                                     : -1;
    if (st.code != STATUS_UNAVAILABLE || process >= 0) {
        ask_later(load, st.text);
        return;
    }
    /* A `start` that runs now may be putting a new one in its place. */
    if (load->loader->manager->creates == 0)
        shim_remove_socket(load->endpoint.address);
    on_shim_dead(load);
}

static void on_slow(void *arg)
{
    load_t *load = arg;
    give_place(load);
    load_next(load->loader);
}

static void on_again(void *arg)
{
    load_t *load = arg;
    if (load->task->shim)
        ask_connect(load);
    else
        connect_shim(load);
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
    connect_shim(load);
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

static void mend_intent(load_t *load, const status_t *st, const msg_container_t *container)
{
    status_t mended = {.code = STATUS_OK};
    (void)st;
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
    io_timer_init(&load->again, on_again, load);
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
