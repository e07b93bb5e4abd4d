/* A shim's executable run for `start` and `delete`. */
#include "common/log.h"
#include "workers/shim/bootstrap.h"
#include "workers/shim/manager.h"
#include "workers/shim/orphan.h"
#include "workers/shim/remains.h"
#include "workers/shim/runtime.h"
#include "workers/shim/spawn.h"

#include "common/proto/task.pb-c.h"

#define WORDS_MAX 16

/* The inherited environment without what was meant for us alone, and with what shims look for. The
 * request stays readable in /proc/PID/environ: a shim that has lost its bundle tells by it who
 * wanted it. */
static char **environment_new(manager_t *self, const task_t *task)
{
    static const char *const ours[] = {
        "LISTEN_",       "SHIMD_",     "NOTIFY_SOCKET=", "TTRPC_ADDRESS=",
        "GRPC_ADDRESS=", "NAMESPACE=", "GOMAXPROCS=",    "MAX_SHIM_VERSION="};
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    char **copy = zmalloc((count + 7) * sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        bool skip = false;
        for (size_t k = 0; k < ARRAY_SIZE(ours); k++)
            skip = skip || !strncmp(environ[i], ours[k], strlen(ours[k]));
        if (!skip)
            copy[used++] = util_strdup(environ[i]);
    }
    copy[used++] = util_format("TTRPC_ADDRESS=%s", self->ttrpc_address);
    copy[used++] = util_format("GRPC_ADDRESS=%s", self->grpc_address);
    copy[used++] = util_format("NAMESPACE=%s", task->ns);
    char request[2 * MSG_UUID_SIZE + 1];
    util_hex(task->intent->request.bytes, MSG_UUID_SIZE, request);
    copy[used++] = util_format(RECORD_REQUEST_VARIABLE "=%s", request);
    /* As containerd, with which every shim is tried: the first because shims are many and do
     * little, the second whatever is spoken afterwards. */
    copy[used++] = util_strdup("GOMAXPROCS=2");
    copy[used++] = util_strdup("MAX_SHIM_VERSION=2");
    return copy;
}

static void words_free(char **words)
{
    for (size_t i = 0; words[i]; i++)
        free(words[i]);
    free(words);
}

static spawn_t *run(manager_t *self, task_t *task, const char *verb, const msgpack_sbuffer *input,
                    int64_t timeout_ms, spawn_done_t *done, void *arg, status_t *st)
{
    bool deletes = !strcmp(verb, "delete");
    const char *words[WORDS_MAX] = {
        task->intent->path, "-namespace",     task->ns, "-address", self->grpc_address,
        "-publish-binary",  "/proc/self/exe", "-id",    task->id};
    size_t used = 9;
    if (deletes) {
        words[used++] = "-bundle";
        words[used++] = task->bundle;
    }
    words[used++] = verb;
    char **env = environment_new(self, task);
    spawn_command_t command = {.path = task->intent->path,
                               .argv = (char *const *)words,
                               .envp = env,
                               .cwd = task->bundle,
                               .stdin_data = (const uint8_t *)(input ? input->data : NULL),
                               .stdin_size = input ? input->size : 0,
                               .timeout_ms = timeout_ms};
    spawn_t *spawned = spawn_start(self->io, &command, done, arg, st);
    words_free(env);
    return spawned;
}

static status_code_t check_result(const spawn_result_t *result, const char *path, const char *verb,
                                  status_t *st)
{
    if (result->timed_out)
        return status_set(st, STATUS_DEADLINE_EXCEEDED, "%s %s: killed at its deadline", path,
                          verb);
    if (result->exit_code != 0)
        return status_set(st, STATUS_UNKNOWN, "%s %s: exit code %d: %.300s", path, verb,
                          result->exit_code, result->stderr_text);
    if (result->stdout_too_long)
        return status_set(st, STATUS_UNKNOWN, "%s %s: printed more than %u bytes", path, verb,
                          SPAWN_STDOUT_MAX);
    return STATUS_OK;
}

/* start ------------------------------------------------------------------------------------------
 */

typedef struct start {
    manager_t *manager;
    char ns[77], id[77], path[PATH_MAX];
    runtime_generation_t generation; /* what this attempt takes it for */
    bool guessed;
    char *options_type;
    uint8_t *options;
    size_t options_size;
    verb_started_t *done;
    void *arg;
} start_t;

static void start_attempt(start_t *start);

static void start_finish(start_t *start, const status_t *st, const endpoint_t *endpoint)
{
    start->done(start->arg, st, endpoint);
    free(start->options_type);
    free(start->options);
    free(start);
}

static void on_started(void *arg, const spawn_result_t *result)
{
    start_t *start = arg;
    status_t st = {.code = STATUS_OK};
    bootstrap_t printed;
    if (check_result(result, start->path, "start", &st)) {
        /* The newer form is asked for in words by a shim that got the older one. */
        bool newer = start->guessed && start->generation == RUNTIME_ANY && result->exit_code > 0 &&
                     bootstrap_is_wanted(result->stderr_text);
        if (newer) {
            start->generation = RUNTIME_BOOTSTRAP;
            start_attempt(start);
            return;
        }
        start_finish(start, &st, NULL);
        return;
    }
    if (bootstrap_parse(result->stdout_data, result->stdout_size, &printed, &st)) {
        status_wrap(&st, "%s start", start->path);
        start_finish(start, &st, NULL);
        return;
    }
    runtime_learn(start->path, start->generation);
    endpoint_t endpoint = {.version = printed.version};
    memcpy(endpoint.address, printed.address, sizeof endpoint.address);
    start_finish(start, &st, &endpoint);
}

static void start_attempt(start_t *start)
{
    manager_t *self = start->manager;
    task_t *task = task_table_find(self->tasks, start->ns, start->id);
    bootstrap_params_t params = {.id = start->id,
                                 .ns = start->ns,
                                 .ttrpc_address = self->ttrpc_address,
                                 .grpc_address = self->grpc_address,
                                 .binary = "shimd",
                                 .debug = log_is_on(LOG_LEVEL_DEBUG),
                                 .options_type = start->options_type,
                                 .options = start->options,
                                 .options_size = start->options_size};
    msgpack_sbuffer input;
    status_t st;
    msgpack_sbuffer_init(&input);
    if (start->generation == RUNTIME_BOOTSTRAP)
        bootstrap_pack_params(&params, &input);
    else
        bootstrap_pack_any(&params, &input);
    spawn_t *spawned =
        run(self, task, "start", &input, self->timeouts.start, on_started, start, &st);
    msgpack_sbuffer_destroy(&input);
    if (!spawned)
        start_finish(start, &st, NULL);
}

void verb_start(manager_t *self, task_t *task, const char *options_type, const uint8_t *options,
                size_t options_size, verb_started_t *done, void *arg)
{
    start_t *start = zmalloc(sizeof *start);
    *start = (start_t){.manager = self, .options_size = options_size, .done = done, .arg = arg};
    snprintf(start->ns, sizeof start->ns, "%s", task->ns);
    snprintf(start->id, sizeof start->id, "%s", task->id);
    snprintf(start->path, sizeof start->path, "%s", task->intent->path);
    start->generation = runtime_generation(start->path);
    start->guessed = start->generation == RUNTIME_UNKNOWN;
    if (start->guessed)
        start->generation = RUNTIME_ANY;
    start->options_type = util_strdup(options_type);
    if (options_size) {
        start->options = zmalloc(options_size);
        memcpy(start->options, options, options_size);
    }
    start_attempt(start);
}

/* delete -----------------------------------------------------------------------------------------
 */

/* A shim that died while it created a container has left the runtime that it had called. That one
 * is ended before the verb looks for the container, and its cgroup, of which the verb may know
 * nothing, is removed afterwards. While runc has the container still, the verb is run again, but
 * not for ever: the task's name is not free meanwhile. */
typedef struct deletion {
    manager_t *manager;
    task_t *task;
    io_timer_t again;
    unsigned tries, runs;
    bool is_run; /* the verb */
    complaint_t complaint;
    status_t st;
    msg_exited_t exited;
    verb_deleted_t *done;
    void *arg;
} deletion_t;

#define REMAINS_MS    20
#define REMAINS_TRIES 100
#define VERB_RUNS     5
#define VERB_AGAIN_MS 500 /* after the first; twice as long after each other */

static void deletion_finish(deletion_t *deletion)
{
    deletion->done(deletion->arg, &deletion->st, &deletion->exited);
    free(deletion);
}

static bool deletion_waits(deletion_t *deletion, bool is_left)
{
    if (!is_left || deletion->tries++ >= REMAINS_TRIES)
        return false;
    io_timer_in(deletion->manager->io, &deletion->again, REMAINS_MS);
    return true;
}

static void remove_cgroup(deletion_t *deletion)
{
    const task_t *task = deletion->task;
    bool is_left = !task->init.pid && !remains_remove_cgroup(task->bundle);
    if (!deletion_waits(deletion, is_left))
        deletion_finish(deletion);
}

/* The shims of runc answer that all is well also where runc could not delete it. */
static bool is_in_runc(const deletion_t *deletion)
{
    const task_t *task = deletion->task;
    return runtime_is_runc(task->intent->runtime) &&
           remains_are_in_runc(deletion->manager->runc_root, task->ns, task->id);
}

static void run_again_later(deletion_t *deletion)
{
    const status_t *st = &deletion->st;
    log_line(complaint_level(&deletion->complaint, st->code, LOG_LEVEL_WARN),
             "%s: runc has it still after the shim's delete: %s; trying again", deletion->task->key,
             st->code ? st->text : "OK");
    orphan_kill_all(deletion->task); /* what may be in the way */
    deletion->is_run = false;
    deletion->tries = 0;
    io_timer_in(deletion->manager->io, &deletion->again, VERB_AGAIN_MS << (deletion->runs - 1));
}

static void on_verb_end(deletion_t *deletion)
{
    bool is_left = is_in_runc(deletion);
    if (is_left && deletion->runs < VERB_RUNS) {
        run_again_later(deletion);
        return;
    }
    if (is_left)
        log_error("%s: runc has it still after %u tries to delete it", deletion->task->key,
                  deletion->runs);
    remove_cgroup(deletion);
}

static void on_deleted(void *arg, const spawn_result_t *result)
{
    deletion_t *deletion = arg;
    const char *path = deletion->task->intent->path;
    if (!check_result(result, path, "delete", &deletion->st)) {
        Containerd__Task__V2__DeleteResponse *answer =
            containerd__task__v2__delete_response__unpack(NULL, result->stdout_size,
                                                          result->stdout_data);
        if (answer) {
            deletion->exited = (msg_exited_t){.pid = answer->pid,
                                              .exit_status = answer->exit_status,
                                              .exited_at = exits_time(answer->exited_at)};
            containerd__task__v2__delete_response__free_unpacked(answer, NULL);
        } else {
            status_set(&deletion->st, STATUS_UNKNOWN, "%s delete: printed no answer", path);
        }
    }
    on_verb_end(deletion);
}

static void end_runtime(deletion_t *deletion)
{
    manager_t *self = deletion->manager;
    task_t *task = deletion->task;
    bool is_left = !task->init.pid && remains_kill_runtime(task->bundle) > 0;
    if (deletion_waits(deletion, is_left))
        return;
    deletion->is_run = true;
    deletion->tries = 0;
    deletion->runs++;
    status_clear(&deletion->st);
    if (!run(self, task, "delete", NULL, self->timeouts.cleanup, on_deleted, deletion,
             &deletion->st))
        on_verb_end(deletion);
}

static void on_again(void *arg)
{
    deletion_t *deletion = arg;
    if (deletion->is_run)
        remove_cgroup(deletion);
    else
        end_runtime(deletion);
}

void verb_delete(manager_t *self, task_t *task, verb_deleted_t *done, void *arg)
{
    deletion_t *deletion = zmalloc(sizeof *deletion);
    *deletion = (deletion_t){
        .manager = self, .task = task, .st = {.code = STATUS_OK}, .done = done, .arg = arg};
    io_timer_init(&deletion->again, on_again, deletion);
    end_runtime(deletion);
}
