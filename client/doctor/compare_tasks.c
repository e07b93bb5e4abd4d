/* Each task against its processes, its bundle, its records. */
#include "client/doctor/compare.h"

#include "common/proc.h"
#include "workers/bundle/bundle_store.h"

#include <sys/stat.h>

#define UNIX_PREFIX "unix://"

typedef struct subject {
    compare_t *compare;
    const msg_process_t *task;
    const seen_t *bundle; /* NULL when it has none */
    char key[SEEN_KEY_SIZE];
} subject_t;

static bool is_there(const char *path)
{
    struct stat info;
    return !lstat(path, &info);
}

static bool is_status(const msg_process_t *task, const char *status)
{
    return !strcmp(task->status, status);
}

static bool is_alive(const msg_process_t *task)
{
    return task->pid && (is_status(task, "CREATED") || is_status(task, "RUNNING") ||
                         is_status(task, "PAUSED") || is_status(task, "PAUSING"));
}

static finding_t *add(const subject_t *self, finding_kind_t kind, const char *text)
{
    const msg_process_t *task = self->task;
    finding_t *finding = findings_add(self->compare->findings, kind, task->ns, task->id, self->key,
                                      task->shim_pid, "%s", text);
    finding->pid = (pid_t)task->shim_pid;
    return finding;
}

/* processes --------------------------------------------------------------------------------------
 */

/* A stopped shim is told at once, and before the worker has noticed that it is mute. */
static void compare_shim(const subject_t *self)
{
    const msg_process_t *task = self->task;
    char state = task->shim_pid ? seen_process_state((pid_t)task->shim_pid) : 0;
    char text[128];
    if (state == 'T' || state == 't') {
        snprintf(text, sizeof text, "its shim, process %u, is stopped", task->shim_pid);
        add(self, FINDING_STOPPED_SHIM, text)->start = proc_start_time((pid_t)task->shim_pid);
    } else if (task->unresponsive) {
        snprintf(text, sizeof text, "its shim, process %u, has not answered for %lld s",
                 task->shim_pid, (long long)task->stale_ms / 1000);
        add(self, FINDING_MUTE_SHIM, text);
    }
}

/* While something is under way nothing else about the task is a finding; so it is one itself when
 * that does not come to its end. */
static void compare_phase(const subject_t *self)
{
    const msg_process_t *task = self->task;
    if (!task->phase || task->unresponsive || (!task->held && task->phase_ms < COMPARE_STUCK_MS))
        return;
    AUTO_FREE char *text =
        util_format("it has been %s for %lld s%s%s", task->phase, (long long)task->phase_ms / 1000,
                    task->held ? ": " : "", task->held ? task->held : "");
    add(self, FINDING_STUCK_TASK, text);
}

static void compare_process(const subject_t *self)
{
    const msg_process_t *task = self->task;
    char text[128];
    char state = is_alive(task) ? seen_process_state((pid_t)task->pid) : 'R';
    if (state && state != 'Z' && state != 'X')
        return;
    snprintf(text, sizeof text, "it is said to be %s, and there is no process %u", task->status,
             task->pid);
    add(self, FINDING_TASK_WITHOUT_PROCESS, text);
}

static void compare_socket(const subject_t *self)
{
    const seen_bundle_t *bundle = self->bundle->bundle;
    const char *address = bundle->has_endpoint ? bundle->endpoint.address : bundle->intent.address;
    const char *path = address + strlen(UNIX_PREFIX);
    bool is_path = !strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX));
    if (!is_path || !self->task->shim_pid || self->task->orphaned || is_there(path))
        return;
    AUTO_FREE char *text =
        util_format("its shim, process %u, listens at %s, which was removed: no successor of the "
                    "shim worker could reach it",
                    self->task->shim_pid, path);
    add(self, FINDING_MISSING_SOCKET, text);
}

/* Only of runc, and where its state is the cluster's own. */
static void compare_runc(const subject_t *self)
{
    const msg_process_t *task = self->task;
    json_t *options = NULL;
    status_t ignored;
    AUTO_FREE char *root = util_format("%s/runc", self->compare->machine->cluster->run_dir);
    AUTO_FREE char *path = util_format("%s/%s/%s/state.json", root, task->ns, task->id);
    if (!is_alive(task) || is_there(path) ||
        record_read_json(self->bundle->path, "options.json", &options, &ignored))
        return;
    const char *used = json_string_value(json_object_get(options, "root"));
    AUTO_FREE char *text = util_format("%s is missing: runc does not know the container", path);
    if (used && !strcmp(used, root))
        add(self, FINDING_MISSING_RUNC, text);
    json_decref(options);
}

/* records ----------------------------------------------------------------------------------------
 */

static void append(char *list, size_t size, bool is_wrong, const char *name)
{
    size_t used = strlen(list);
    if (is_wrong)
        snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

static void compare_files(const subject_t *self)
{
    const msg_process_t *task = self->task;
    const seen_bundle_t *bundle = self->bundle->bundle;
    bool has_shim = task->shim_pid && !task->orphaned;
    char list[256] = "";
    append(list, sizeof list, !bundle->has_config, BUNDLE_STORE_CONFIG);
    append(list, sizeof list, !bundle->has_work, BUNDLE_STORE_WORK);
    append(list, sizeof list,
           !task->incarnation || strcasecmp(bundle->incarnation, task->incarnation),
           BUNDLE_STORE_INCARNATION);
    append(list, sizeof list, !bundle->has_intent, "intent.json");
    append(list, sizeof list,
           has_shim && (!bundle->has_endpoint || bundle->endpoint.shim_pid != task->shim_pid),
           "bootstrap.json");
    append(list, sizeof list, is_alive(task) && bundle->init_pid != task->pid, "init.json");
    AUTO_FREE char *text =
        util_format("in its bundle these are missing or of another task: %s", list);
    if (list[0])
        add(self, FINDING_RECORD_MISMATCH, text);
}

static void compare_journal(const subject_t *self)
{
    const msg_process_t *task = self->task;
    const said_t *said = self->compare->said;
    const msg_incarnation_t *run = said_run(said, task->ns, task->id);
    if (said->has[SAID_RECORDS] && !said_record(said, task->ns, task->id))
        add(self, FINDING_TASK_WITHOUT_RECORD, "its container has no record");
    if (!said->has[SAID_RUNS] || !task->incarnation ||
        (run && !strcasecmp(run->incarnation, task->incarnation)))
        return;
    AUTO_FREE char *text =
        util_format("it is run %s, and the journal knows %s%s", task->incarnation,
                    run ? "another one as alive: " : "none as alive", run ? run->incarnation : "");
    add(self, FINDING_TASK_WITHOUT_RUN, text);
}

static void compare_work(const subject_t *self)
{
    const msg_process_t *task = self->task;
    AUTO_FREE char *path =
        util_format("%s/task/%s/%s", self->compare->machine->cluster->root_dir, task->ns, task->id);
    if (!is_there(path))
        findings_add(self->compare->findings, FINDING_MISSING_WORK, task->ns, task->id, path, 0,
                     "the task has no work directory");
}

/* ------------------------------------------------------------------------------------------------
 */

static void compare_task(compare_t *compare, const msg_process_t *task)
{
    subject_t self = {.compare = compare,
                      .task = task,
                      .bundle = machine_bundle(compare->machine, task->ns, task->id)};
    seen_key(task->ns, task->id, self.key);
    compare_shim(&self);
    compare_phase(&self);
    if (compare_is_busy(compare, task->ns, task->id))
        return;
    compare_process(&self);
    compare_journal(&self);
    compare_work(&self);
    if (!self.bundle) {
        add(&self, FINDING_TASK_WITHOUT_BUNDLE, "its bundle is gone");
        return;
    }
    compare_files(&self);
    compare_socket(&self);
    compare_runc(&self);
}

void compare_tasks(compare_t *self)
{
    const msg_processes_t *tasks = &self->said->tasks;
    for (size_t i = 0; self->said->has[SAID_TASKS] && i < tasks->tasks.count; i++)
        compare_task(self, &tasks->tasks.items[i]);
}
