/* shimd-shim: starts shims, speaks ttrpc to them, and keeps the table of tasks. */
#include "common/log.h"
#include "common/process.h"
#include "workers/shim/debt.h"
#include "workers/shim/keeping.h"
#include "workers/shim/manager.h"
#include "workers/shim/orphan.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"

static const worker_method_t methods[] = {
    {MSG_task_create, on_task_create},
    {MSG_task_start, on_task_start},
    {MSG_task_get, on_task_get},
    {MSG_task_list, on_task_list},
    {MSG_task_wait, on_task_wait},
    {MSG_task_kill, on_task_kill},
    {MSG_task_exec, on_task_exec},
    {MSG_task_pids, on_task_pids},
    {MSG_task_pause, on_task_pause},
    {MSG_task_resume, on_task_resume},
    {MSG_task_update, on_task_update},
    {MSG_task_stats, on_task_stats},
    {MSG_task_checkpoint, on_task_checkpoint},
    {MSG_task_resize, on_task_resize},
    {MSG_task_close_io, on_task_close_io},
    {MSG_task_delete, on_task_delete},
};

void manager_park(task_t *task, request_t *request, const char *why)
{
    status_t late;
    status_set(&late, STATUS_UNAVAILABLE, "task %s: %s", task->id, why);
    park_add(task->parked, request, &late);
}

static void explain(task_t *task, const char *why)
{
    status_t late;
    status_set(&late, STATUS_UNAVAILABLE, "task %s: %.400s", task->id, why);
    park_explain(task->parked, &late);
}

void manager_explain(task_t *task, const char *why)
{
    task_hold(task, NULL);
    explain(task, why);
}

void manager_hold(task_t *task, const char *format, ...)
{
    char why[STATUS_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    task_hold(task, why);
    explain(task, why);
}

static void handle(manager_t *self, request_t *request)
{
    msg_id_t method = request_method(request);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (methods[i].id == method) {
            methods[i].handler(self, request, request_ask(request)); /* frees the request */
            return;
        }
}

static void on_request(void *self, request_t *request, const void *ask)
{
    (void)ask;
    if (!load_defer(self, request, handle))
        handle(self, request);
}

/* The task may be gone when the first of them has been run. */
static void run_parked(manager_t *self, park_t *parked)
{
    request_t *request;
    while ((request = park_take(parked)))
        handle(self, request);
    park_destroy(&parked);
}

void manager_unpark(task_t *task)
{
    manager_t *self = task->manager;
    park_t *parked = task->parked;
    task->parked = park_new(self->io);
    run_parked(self, parked);
}

void manager_fail(request_t *request, status_code_t code, const char *format, ...)
{
    char text[STATUS_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    status_t st;
    status_set(&st, code, "%s", text);
    request_fail(request, &st);
}

shim_t *manager_shim(manager_t *self, const endpoint_t *endpoint, status_t *st)
{
    shim_t *shim = zhashx_lookup(self->shims, endpoint->address);
    if (shim)
        return shim;
    shim = shim_connect(self->io, endpoint, bury_all, load_back, self, st);
    if (shim) {
        zhashx_insert(self->shims, shim_endpoint(shim)->address, shim);
        keeping_new(self, shim);
    }
    return shim;
}

void manager_remove_task(manager_t *self, task_t *task)
{
    park_t *parked = TAKE(task->parked);
    request_t *deleter;
    while ((deleter = zlistx_detach(task->deleters, NULL)))
        exits_answer_deleted(self, deleter, task->id, NULL);
    exits_hand_over(self, &task->init);
    for (process_t *exec = zhashx_first(task->execs); exec; exec = zhashx_next(task->execs))
        exits_hand_over(self, exec);
    task_table_remove(self->tasks, task);
    run_parked(self, parked);
}

const char *manager_target(const request_t *request)
{
    return msg_text(request_method(request), request_ask(request), "id");
}

bool manager_is_again(const task_t *task, const request_t *request)
{
    return begun_has(&task->begun, request_id(request), BEGUN_DONE);
}

/* What the request itself did in a predecessor's hands may be why there is no such thing any more;
 * that was recorded before the thing was forgotten, perhaps after this request was looked up. */
static void refuse_unknown(manager_t *self, request_t *request, const char *id, const char *exec_id)
{
    status_t st;
    if (exec_id)
        status_set(&st, STATUS_NOT_FOUND, "exec %s of task %s: not found", exec_id, id);
    else
        status_set(&st, STATUS_NOT_FOUND, "task %s: not found", id);
    if (!request_is_first(request) && msg_type(request_method(request))->class != CLASS_READ)
        outcome_or_fail(self, request, &st);
    else
        request_fail(request, &st);
}

process_t *manager_find(manager_t *self, request_t *request, const char *id, const char *exec_id)
{
    const char *ns = request_require_ns(request);
    if (!ns)
        return NULL;
    task_t *task = task_table_find(self->tasks, ns, id);
    if (task && task->phase == TASK_CLEANING)
        task = NULL;
    msg_id_t method = request_method(request);
    /* One that is known to be mute may stay so for long; whoever deletes it has the time. */
    bool waits = task && (!task->unresponsive || method == MSG_task_delete);
    if (task && task->phase == TASK_LOADING && waits) {
        manager_park(task, request, PARK_MUTE);
        load_hurry(self, task);
        return NULL;
    }
    if (task && task->phase == TASK_CREATING) {
        manager_fail(request, STATUS_FAILED_PRECONDITION, "task %s is being created", id);
        return NULL;
    }
    process_t *process = task ? task_process(task, exec_id) : NULL;
    if (task)
        orphan_look_at_start(task);
    if (!process) {
        refuse_unknown(self, request, id, task ? exec_id : NULL);
        return NULL;
    }
    bool reads = method == MSG_task_get;
    bool needs_shim =
        method != MSG_task_kill && method != MSG_task_pids && method != MSG_task_delete;
    if (!reads && task->phase == TASK_ORPHANED && !needs_shim)
        return process;
    if (!reads && task->phase == TASK_ORPHANED) {
        manager_fail(request, STATUS_FAILED_PRECONDITION,
                     "task %s: its shim was lost; it can be signalled, waited for and deleted", id);
        return NULL;
    }
    if (!reads && task->phase == TASK_LOADING) {
        manager_fail(request, STATUS_UNAVAILABLE, "task %s: " PARK_MUTE, id);
        return NULL;
    }
    if (!reads && (task->phase != TASK_LIVE || !task->shim)) {
        manager_fail(request, STATUS_FAILED_PRECONDITION, "task %s is being removed", id);
        return NULL;
    }
    return process;
}

static manager_t *manager_new(worker_t *worker, const settings_t *settings)
{
    const cluster_t *cluster = worker_cluster(worker);
    manager_t *self = zmalloc(sizeof *self);
    *self = (manager_t){.worker = worker,
                        .io = worker_io(worker),
                        .link = worker_link(worker),
                        .shims = zhashx_new(),
                        .debts = zlistx_new(),
                        .grpc_address = cluster_socket_path(cluster, CLUSTER_CLIENT),
                        .ttrpc_address = cluster_socket_path(cluster, CLUSTER_SHIM_EVENTS),
                        .runc_root = util_format("%s/runc", cluster->run_dir),
                        .create_queue = zlistx_new()};
    self->timeouts = settings->timeouts;
    self->on_shim_loss = settings->on_shim_loss;
    self->tasks = task_table_new(self);
    restarts_init(self);
    keeping_start(self);
    zhashx_set_key_duplicator(self->shims, NULL);
    zhashx_set_key_destructor(self->shims, NULL);
    return self;
}

static void manager_destroy(manager_t *self)
{
    keeping_stop(self);
    debts_destroy(self);
    restarts_destroy(self);
    task_table_destroy(&self->tasks);
    for (shim_t *shim = zhashx_first(self->shims); shim; shim = zhashx_next(self->shims)) {
        shim_t *ended = shim;
        shim_destroy(&ended);
    }
    zhashx_destroy(&self->shims);
    zlistx_destroy(&self->create_queue);
    free(self->grpc_address);
    free(self->ttrpc_address);
    free(self->runc_root);
    free(self);
}

/* Requests come at once, and wait where what they are about is still being looked at. */
static void serve(manager_t *self)
{
    static worker_method_t served[ARRAY_SIZE(methods)];
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        served[i] = (worker_method_t){.id = methods[i].id, .handler = on_request};
    worker_serve(self->worker, served, ARRAY_SIZE(served), self, MANAGER_WINDOW);
    worker_journal_t journal = outcome_journal;
    journal.arg = self;
    worker_set_journal(self->worker, &journal);
    worker_set_forget(self->worker, exits_forget);
    load_begin(self, restarts_begin);
    worker_ready(self->worker);
}

static status_code_t read_settings(void *settings, const char *config, status_t *st)
{
    return settings_read(settings, config, st);
}

int main(int argc, char **argv)
{
    settings_t settings;
    process_check("shimd-shim", argc, argv, read_settings, &settings);
    worker_t *worker = worker_new(SERVICE_SHIM, argc, argv);
    status_t st;
    if (settings_read(&settings, worker_cluster(worker)->config, &st)) {
        log_error("start: %s", st.text);
        worker_destroy(&worker);
        return EXIT_FAILURE;
    }
    manager_t *manager = manager_new(worker, &settings);
    serve(manager);
    int exit_code = worker_run(worker);
    manager_destroy(manager);
    worker_destroy(&worker);
    return exit_code;
}
