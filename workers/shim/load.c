/* What the worker finds when it starts: bundles of its predecessor. Shims that answer are adopted,
 * those that are gone are buried, what never got as far as a shim is undone. Bundles are looked at
 * side by side, and one that is damaged or mute keeps nobody else waiting. */
#include "common/log.h"
#include "workers/shim/manager.h"

#include "common/proto/task.pb-c.h"

#define LOADS_AT_ONCE 32
#define LOAD_TIMEOUT_MS                                                                            \
    5000                   /* of a call to a shim; containerd's io.containerd.timeout.shim.load    \
                            */
#define LOAD_AGAIN_MS 2000 /* before a mute shim is asked again */

typedef struct loader {
    manager_t *manager;
    void (*done)(manager_t *self);
    zlistx_t *waiting; /* task_t; not owned */
    unsigned running;
} loader_t;

/* One task being looked at. */
typedef struct load {
    loader_t *loader;
    task_t *task;
    bool record_missing;
} load_t;

static void load_next(loader_t *loader);

/* The task may be used, or is gone; its place is free for the next. */
static void load_finish(load_t *load)
{
    loader_t *loader = load->loader;
    free(load);
    loader->running--;
    load_next(loader);
}

static void adopt(load_t *load)
{
    manager_t *self = load->loader->manager;
    task_t *task = load->task;
    zlistx_t *parked = task->parked;
    task->parked = zlistx_new();
    task->phase = TASK_LIVE;
    task->unresponsive = false;
    task->heard_ms = util_now_ms();
    if (load->record_missing)
        log_warn("load %s: its container has no record, but it runs: kept", task->key);
    log_info("load %s: adopted, pid %u is %s", task->key, task->init.pid,
             process_state_name(task->init.state));
    exits_wait(self, &task->init);
    manager_unpark(self, parked);
    load_finish(load);
}

/* There is proof that no shim has it. */
static void bury(load_t *load)
{
    log_info("load %s: it has no shim any more", load->task->key);
    bury_task(load->loader->manager, load->task);
    load_finish(load);
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
    task->shim = NULL;
    if (--*shim_users(shim) == 0)
        ending_begin(load->loader->manager, shim, task->ns, task->id, false, on_ended, load);
    else
        bury(load);
}

static void ask_state(load_t *load);

static int ask_again(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    ask_state(arg);
    return 0;
}

static void take_state(task_t *task, const Containerd__Task__V2__StateResponse *state)
{
    process_t *init = &task->init;
    init->state = (process_state_t)state->status;
    init->pid = state->pid;
    process_set_stdio(init, state->stdin, state->stdout, state->stderr, state->terminal);
}

static void on_state(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    load_t *load = arg;
    task_t *task = load->task;
    if (st->code == STATUS_NOT_FOUND) {
        undo(load);
        return;
    }
    if (task->shim == NULL) { /* it died while it was asked */
        bury(load);
        return;
    }
    Containerd__Task__V2__StateResponse *state =
        st->code ? NULL : containerd__task__v2__state_response__unpack(NULL, size, payload);
    if (!state) {
        /* Slow is not dead: it stays listed, and is asked until it answers or its process ends. */
        if (!task->unresponsive)
            log_warn("load %s: its shim does not answer: %s", task->key, st->text);
        task->unresponsive = true;
        zloop_timer(load->loader->manager->loop, LOAD_AGAIN_MS, 1, ask_again, load);
        return;
    }
    take_state(task, state);
    containerd__task__v2__state_response__free_unpacked(state, NULL);
    adopt(load);
}

static void ask_state(load_t *load)
{
    task_t *task = load->task;
    if (!task->shim) {
        bury(load);
        return;
    }
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    request.id = task->id;
    shim_call(task->shim, "State", &request.base, LOAD_TIMEOUT_MS, task->ns, on_state, load);
}

static void on_connect(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    load_t *load = arg;
    status_t ignored;
    Containerd__Task__V2__ConnectResponse *answer =
        st->code ? NULL : containerd__task__v2__connect_response__unpack(NULL, size, payload);
    if (answer && load->task->shim)
        shim_watch(load->task->shim, answer->shim_pid, &ignored);
    containerd__task__v2__connect_response__free_unpacked(answer, NULL);
    ask_state(load);
}

static void connect_shim(load_t *load, const endpoint_t *endpoint)
{
    task_t *task = load->task;
    status_t st;
    task->shim = manager_shim(load->loader->manager, endpoint, &st);
    if (!task->shim) {
        bury(load);
        return;
    }
    ++*shim_users(task->shim);
    if (endpoint->shim_pid)
        shim_watch(task->shim, endpoint->shim_pid, &st);
    Containerd__Task__V2__ConnectRequest request = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
    request.id = task->id;
    shim_call(task->shim, "Connect", &request.base, LOAD_TIMEOUT_MS, task->ns, on_connect, load);
}

static void on_bundle_deleted(void *arg, const status_t *st, const void *answer)
{
    load_t *load = arg;
    manager_t *self = load->loader->manager;
    zlistx_t *parked = TAKE(load->task->parked);
    (void)answer;
    if (st->code)
        log_warn("load %s: remove the bundle: %s", load->task->key, st->text);
    task_table_remove(self->tasks, load->task);
    manager_unpark(self, parked);
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

static void inspect(load_t *load)
{
    task_t *task = load->task;
    endpoint_t endpoint = {.version = 2};
    status_t st;
    task->intent = zmalloc(sizeof *task->intent);
    status_code_t code = record_read_intent(task->bundle, task->intent, &st);
    if (code == STATUS_NOT_FOUND) { /* no shim can have been started */
        free(TAKE(task->intent));
        bury(load);
        return;
    }
    if (code) {
        free(TAKE(task->intent));
        set_aside(load, st.text);
        return;
    }
    task->request = task->intent->request;
    task->runtime = util_strdup(task->intent->runtime);
    task->log = log_pipe_open(load->loader->manager->io, task->bundle, task->key, &st);
    if (record_read_endpoint(task->bundle, &endpoint, &st))
        snprintf(endpoint.address, sizeof endpoint.address, "%s", task->intent->address);
    connect_shim(load, &endpoint);
}

static void on_incarnation(void *arg, const status_t *st, const void *answer)
{
    load_t *load = arg;
    (void)answer;
    load->record_missing = st->code == STATUS_NOT_FOUND;
    inspect(load);
}

static void load_task(loader_t *loader, task_t *task)
{
    load_t *load = zmalloc(sizeof *load);
    *load = (load_t){.loader = loader, .task = task};
    loader->running++;
    if (!task->bundle) { /* it had no entries at all */
        remove_bundle(load);
        return;
    }
    if (!task->incarnation[0]) {
        set_aside(load, "it has no readable incarnation or config.json");
        return;
    }
    msg_incarnation_get_t ask = {.id = task->id, .incarnation = task->incarnation};
    link_ask(loader->manager->link, MSG_incarnation_get, &ask, task->ns, 0, NULL, on_incarnation,
             load);
}

static void load_next(loader_t *loader)
{
    while (loader->running < LOADS_AT_ONCE && zlistx_size(loader->waiting))
        load_task(loader, zlistx_detach(loader->waiting, NULL));
    if (loader->running == 0) {
        log_debug("load: done");
        zlistx_destroy(&loader->waiting);
        free(loader);
    }
}

static void on_bundles(void *arg, const status_t *st, const void *answer)
{
    loader_t *loader = arg;
    manager_t *self = loader->manager;
    const msg_bundles_t *list = answer;
    if (st->code) {
        log_error("load: list the bundles: %s; trying again", st->text);
        link_ask(self->link, MSG_bundle_list, &(msg_bundle_list_t){0}, NULL, 0, NULL, on_bundles,
                 loader);
        return;
    }
    for (size_t i = 0; i < list->bundles.count; i++) {
        const msg_bundle_t *bundle = &list->bundles.items[i];
        if (bundle->quarantined || !msg_is_identifier(bundle->id, strlen(bundle->id)))
            continue;
        task_t *task = task_table_add(self->tasks, bundle->ns, bundle->id,
                                      bundle->incarnation ? bundle->incarnation : "");
        if (!task)
            continue;
        task->phase = TASK_LOADING;
        task->heard_ms = util_now_ms();
        task->bundle = bundle->empty ? NULL : util_strdup(bundle->path);
        zlistx_add_end(loader->waiting, task);
    }
    loader->done(self);
    loader->running++; /* so that it does not end while the first are begun */
    load_next(loader);
    loader->running--;
    load_next(loader);
}

void load_begin(manager_t *self, void (*done)(manager_t *self))
{
    loader_t *loader = zmalloc(sizeof *loader);
    *loader = (loader_t){.manager = self, .done = done, .waiting = zlistx_new()};
    link_ask(self->link, MSG_bundle_list, &(msg_bundle_list_t){0}, NULL, 0, NULL, on_bundles,
             loader);
}

/* Waits died with the connection. */
void load_back(void *arg, shim_t *shim)
{
    manager_t *self = arg;
    for (task_t *task = task_table_first(self->tasks); task; task = task_table_next(self->tasks)) {
        if (task->shim != shim || task->phase == TASK_LOADING)
            continue;
        if (task->init.state != PROCESS_UNKNOWN)
            exits_wait(self, &task->init);
        for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
            if (exec->state == PROCESS_RUNNING)
                exits_wait(self, exec);
    }
}
