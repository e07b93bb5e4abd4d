/* The table of tasks. */
#include "workers/shim/task.h"

#include "common/log.h"
#include "common/proc.h"
#include "workers/shim/cgroup.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/init_record.h"
#include "workers/shim/manager.h"
#include "workers/shim/unended.h"

const char *process_state_name(process_state_t state)
{
    static const char *const names[] = {"UNKNOWN", "CREATED", "RUNNING",
                                        "STOPPED", "PAUSED",  "PAUSING"};
    return names[state];
}

static const char *phase_name(task_phase_t phase)
{
    static const char *const names[] = {[TASK_LOADING] = "loading",
                                        [TASK_CREATING] = "creating",
                                        [TASK_CLEANING] = "cleaning",
                                        [TASK_DELETING] = "deleting",
                                        [TASK_BURYING] = "burying"};
    return phase < ARRAY_SIZE(names) ? names[phase] : NULL;
}

struct task_table {
    struct manager *manager;
    zhashx_t *tasks;
};

static void process_clear(process_t *process)
{
    io_timer_stop(process->task->manager->io, &process->again);
    io_timer_stop(process->task->manager->io, &process->look);
    io_timer_stop(process->task->manager->io, &process->deadline.timer);
    io_set_remove(process->task->manager->io, process->pidfd);
    util_close(&process->pidfd);
    stdio_release(&process->hold);
    free(process->in);
    free(process->out);
    free(process->err);
    zlistx_destroy(&process->waiters);
}

static void process_init_fields(process_t *process, task_t *task, const char *exec_id)
{
    process->task = task;
    snprintf(process->exec_id, sizeof process->exec_id, "%s", exec_id);
    process->hold = STDIO_HOLD_NONE;
    process->pidfd = -1;
    process->waiters = zlistx_new();
    io_timer_init(&process->again, exits_again, process);
    io_timer_init(&process->look, exits_look, process);
    io_timer_init(&process->deadline.timer, exec_deadline_tick, process);
}

static void exec_free(void **item)
{
    process_t *process = *item;
    process_clear(process);
    free(process);
    *item = NULL;
}

static void task_free(void **item)
{
    task_t *task = *item;
    log_pipe_destroy(&task->log);
    unended_free(&task->unended);
    zhashx_destroy(&task->execs);
    park_destroy(&task->parked);
    zlistx_destroy(&task->deleters);
    process_clear(&task->init);
    begun_clear(&task->begun);
    free(task->intent);
    free(task->held);
    free(task->bundle);
    free(task->oom_file);
    free(task->runtime);
    free(task);
    *item = NULL;
}

/* Keys are members of their items. */
static zhashx_t *table_new(void (*destructor)(void **))
{
    zhashx_t *table = zhashx_new();
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    zhashx_set_destructor(table, destructor);
    return table;
}

task_table_t *task_table_new(struct manager *manager)
{
    task_table_t *self = zmalloc(sizeof *self);
    self->manager = manager;
    self->tasks = table_new(task_free);
    return self;
}

void task_table_destroy(task_table_t **self)
{
    if (!*self)
        return;
    zhashx_destroy(&(*self)->tasks);
    free(*self);
    *self = NULL;
}

task_t *task_table_find(task_table_t *self, const char *ns, const char *id)
{
    char key[160];
    snprintf(key, sizeof key, "%s/%s", ns, id);
    return zhashx_lookup(self->tasks, key);
}

task_t *task_table_add(task_table_t *self, const char *ns, const char *id, const char *incarnation)
{
    if (task_table_find(self, ns, id))
        return NULL;
    task_t *task = zmalloc(sizeof *task);
    snprintf(task->ns, sizeof task->ns, "%s", ns);
    snprintf(task->id, sizeof task->id, "%s", id);
    snprintf(task->key, sizeof task->key, "%s/%s", task->ns, task->id);
    snprintf(task->incarnation, sizeof task->incarnation, "%s", incarnation);
    task->manager = self->manager;
    task->execs = table_new(exec_free);
    task->parked = park_new(self->manager->io);
    task->deleters = zlistx_new();
    process_init_fields(&task->init, task, "");
    zhashx_insert(self->tasks, task->key, task);
    return task;
}

void task_table_remove(task_table_t *self, task_t *task)
{
    zhashx_delete(self->tasks, task->key);
}

task_t *task_table_first(task_table_t *self)
{
    return zhashx_first(self->tasks);
}

task_t *task_table_next(task_table_t *self)
{
    return zhashx_next(self->tasks);
}

size_t task_table_size(task_table_t *self)
{
    return zhashx_size(self->tasks);
}

process_t *task_process(task_t *task, const char *exec_id)
{
    if (!exec_id || !*exec_id)
        return &task->init;
    return zhashx_lookup(task->execs, exec_id);
}

process_t *task_add_exec(task_t *task, const char *exec_id)
{
    process_t *process = zmalloc(sizeof *process);
    process_init_fields(process, task, exec_id);
    zhashx_insert(task->execs, process->exec_id, process);
    return process;
}

void task_remove_exec(task_t *task, process_t *process)
{
    zhashx_delete(task->execs, process->exec_id);
}

process_ref_t process_ref(const process_t *process)
{
    const task_t *task = process->task;
    process_ref_t ref = {.manager = task->manager};
    memcpy(ref.ns, task->ns, sizeof ref.ns);
    memcpy(ref.id, task->id, sizeof ref.id);
    memcpy(ref.exec_id, process->exec_id, sizeof ref.exec_id);
    memcpy(ref.incarnation, task->incarnation, sizeof ref.incarnation);
    return ref;
}

process_t *process_ref_find(const process_ref_t *self)
{
    task_t *task = task_table_find(self->manager->tasks, self->ns, self->id);
    if (!task || strcmp(task->incarnation, self->incarnation))
        return NULL;
    return task_process(task, self->exec_id);
}

bool process_may_have_run(const process_t *self)
{
    return self->was_started || (self->state != PROCESS_UNKNOWN && self->state != PROCESS_CREATED);
}

bool process_waits_for_start(const process_t *self)
{
    char comm[PROC_COMM_SIZE];
    return !self->has_exited && proc_comm((pid_t)self->pid, comm) &&
           !strncmp(comm, "runc:[", strlen("runc:["));
}

status_code_t task_write_init(task_t *self, status_t *st)
{
    init_record_t record = {.pid = self->init.pid,
                            .start = self->init.start,
                            .oom_before = self->oom_before,
                            .has_started = process_may_have_run(&self->init),
                            .starter = self->init.starter};
    snprintf(record.oom_file, sizeof record.oom_file, "%s", self->oom_file ? self->oom_file : "");
    return init_record_write(self->bundle, &record, st);
}

/* Without it the task goes on, and cannot be told from others once its shim is gone. */
static void try_write_init(task_t *self)
{
    status_t st;
    if (task_write_init(self, &st))
        log_warn("%s: %s", self->key, st.text);
}

/* What a predecessor knew: what was counted at first, for the cgroup may be another's as well, and
 * where, for of a process that has ended /proc does not tell. */
static bool recall_oom_file(task_t *self)
{
    init_record_t earlier;
    if (!self->bundle || !init_record_read(self->bundle, &earlier) || earlier.pid != self->init.pid)
        return false;
    self->oom_before = earlier.oom_before;
    self->oom_file = earlier.oom_file[0] ? util_strdup(earlier.oom_file) : NULL;
    return true;
}

static void find_oom_file(task_t *self)
{
    if (self->oom_file || recall_oom_file(self))
        return;
    self->oom_file = cgroup_oom_file((pid_t)self->init.pid);
    if (self->oom_file)
        self->oom_before = cgroup_oom_kills(self->oom_file);
}

uint32_t task_new_oom_kills(task_t *self)
{
    if (!self->oom_file)
        recall_oom_file(self);
    uint32_t before = self->oom_before;
    uint32_t count = self->oom_file ? cgroup_oom_kills(self->oom_file) : 0;
    if (count <= before)
        return 0;
    self->oom_before = count;
    if (self->bundle)
        try_write_init(self);
    return count - before;
}

void process_started(process_t *self, uint32_t pid)
{
    if (self->pidfd >= 0 && self->pid == pid)
        return;
    status_t st;
    util_close(&self->pidfd);
    self->pid = pid;
    self->start = proc_start_time((pid_t)pid);
    self->pidfd = self->start ? proc_open((pid_t)pid, self->start) : -1;
    if (!self->start)
        return; /* it has ended already: the shim knows how */
    if (!self->exec_id[0]) {
        find_oom_file(self->task);
        try_write_init(self->task);
    } else if (exec_record_write(self->task->bundle, self, &st))
        log_warn("%s: exec %s: %s", self->task->key, self->exec_id, st.text);
}

bool process_is_gone(const process_t *self)
{
    return self->start && proc_start_time((pid_t)self->pid) != self->start;
}

void task_heard(task_t *self)
{
    self->heard_ms = util_now_ms();
    self->unresponsive = false;
}

static void replace_text(char **slot, const char *text)
{
    char *copy = text && *text ? util_strdup(text) : NULL;
    free(*slot);
    *slot = copy;
}

void task_enter(task_t *self, task_phase_t phase)
{
    self->phase = phase;
    self->phase_at = util_monotonic_us();
    task_hold(self, NULL);
}

void task_hold(task_t *self, const char *why)
{
    replace_text(&self->held, why);
}

void process_set_stdio(process_t *process, const char *in, const char *out, const char *err,
                       bool terminal)
{
    replace_text(&process->in, in);
    replace_text(&process->out, out);
    replace_text(&process->err, err);
    process->terminal = terminal;
}

static int64_t phase_ms(const task_t *task)
{
    return phase_name(task->phase) ? (util_monotonic_us() - task->phase_at) / 1000 : 0;
}

void process_describe(const process_t *process, msg_process_t *ret)
{
    const task_t *task = process->task;
    *ret = (msg_process_t){.ns = task->ns,
                           .id = task->id,
                           .exec_id = process->exec_id[0] ? process->exec_id : NULL,
                           .status = process_state_name(process->state),
                           .pid = process->pid,
                           .exit_status = process->exit_status,
                           .exited_at = process->exited_at,
                           .bundle = task->bundle,
                           .runtime = task->runtime,
                           .shim_pid = task->shim ? shim_endpoint(task->shim)->shim_pid : 0,
                           .terminal = process->terminal,
                           .stdin = process->in,
                           .stdout = process->out,
                           .stderr = process->err,
                           .incarnation = task->incarnation,
                           .orphaned = task->phase == TASK_ORPHANED,
                           .unresponsive = task->unresponsive,
                           .phase = phase_name(task->phase),
                           .phase_ms = phase_ms(task),
                           .held = task->held,
                           .stale_ms = task->unresponsive ? util_now_ms() - task->heard_ms : 0};
}
