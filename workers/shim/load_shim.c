/* The shim of a task that is being looked at: found, connected to, and asked how its processes are.
 */
#include "common/failpoint.h"
#include "common/log.h"
#include "common/proc.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/load_internal.h"
#include "workers/shim/shim_process.h"
#include "workers/shim/state.h"

#include "common/proto/task.pb-c.h"

#define AGAIN_MS 2000 /* before a mute shim is asked again */

/* Slow is not dead: a mute shim stays listed, keeps nobody else from being looked at, and is asked
 * until it answers or its process ends. */
static void ask_later(load_t *load, const char *why)
{
    task_t *task = load->task;
    status_t st;
    if (!task->unresponsive)
        log_warn("load %s: its shim does not answer: %s", task->key, why);
    task->unresponsive = true;
    load_set_inspected(load);
    load_give_place(load);
    if (task->shim && shim_seek(task->shim, &st))
        log_debug("load %s: %s", task->key, st.text);
    io_timer_in(load->loader->manager->io, &load->again, AGAIN_MS);
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
        load_adopt(load);
    else
        load_shim_dead(load);
}

static void ask_execs(load_t *load)
{
    task_t *task = load->task;
    manager_t *self = load->loader->manager;
    exec_record_load(task);
    load->execs = (unsigned)zhashx_size(task->execs);
    if (load->execs == 0) {
        load_adopt(load);
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
        load_shim_dead(load);
    else if (st->code == STATUS_NOT_FOUND)
        load_undo(load);
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
        load_shim_dead(load);
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
void load_connect(load_t *load)
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
        load_set_inspected(load);
        if (load->endpoint.shim_pid)
            shim_watch(task->shim, load->endpoint.shim_pid, load->endpoint.shim_start, &ignored);
        ask_connect(load);
        return;
    }
    if (st.code == STATUS_UNAVAILABLE && find_process(load)) {
        load_connect(load);
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
    load_shim_dead(load);
}

void load_again(void *arg)
{
    load_t *load = arg;
    if (load->task->shim)
        ask_connect(load);
    else
        load_connect(load);
}
