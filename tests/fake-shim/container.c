/* The containers of this shim and their processes. */
#include "tests/fake-shim/container.h"

#include "common/proto/events.pb-c.h"
#include "common/util.h"
#include "tests/fake-shim/events.h"
#include "tests/fake-shim/pid_file.h"
#include "tests/fake-shim/runner.h"

#include <czmq.h>
#include <errno.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define STDIO_TIMEOUT_MS 30000 /* runc's shim: 30 s for a FIFO's reader */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static TAILQ_HEAD(, container) containers = TAILQ_HEAD_INITIALIZER(containers);
/* Killed by Delete before they ever ran: their exits are still to be told. */
static TAILQ_HEAD(, process) ghosts = TAILQ_HEAD_INITIALIZER(ghosts);

void containers_lock(void)
{
    pthread_mutex_lock(&lock);
}

void containers_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

size_t containers_count(void)
{
    size_t count = 0;
    container_t *container;
    TAILQ_FOREACH(container, &containers, link)
    count++;
    return count;
}

container_t *containers_find(const char *id, status_t *st)
{
    container_t *container;
    TAILQ_FOREACH(container, &containers, link)
    if (strcmp(container->id, id) == 0)
        return container;
    status_set(st, STATUS_NOT_FOUND, "container not created: not found");
    return NULL;
}

static process_t *find_exec(container_t *container, const char *exec_id)
{
    process_t *process;
    TAILQ_FOREACH(process, &container->execs, link)
    if (strcmp(process->exec_id, exec_id) == 0)
        return process;
    return NULL;
}

process_t *process_find(const char *id, const char *exec_id, status_t *st)
{
    container_t *container = containers_find(id, st);
    if (!container)
        return NULL;
    process_t *process = *exec_id ? find_exec(container, exec_id) : container->init;
    if (!process)
        status_set(st, STATUS_NOT_FOUND, "process does not exist %s: not found", exec_id);
    return process;
}

/* Making and unmaking ----------------------------------------------------------------------------
 */

static process_t *process_new(container_t *container, const char *exec_id, const char *in,
                              const char *out, const char *err, bool is_terminal)
{
    process_t *self = zmalloc(sizeof *self);
    *self = (process_t){.container = container,
                        .exec_id = util_strdup(exec_id),
                        .gate = -1,
                        .in = util_strdup(in),
                        .out = util_strdup(out),
                        .err = util_strdup(err),
                        .is_terminal = is_terminal,
                        .streams = STREAMS_NONE,
                        .uses = 1};
    return self;
}

static void process_unref(process_t *self)
{
    if (--self->uses > 0)
        return;
    util_close(&self->gate);
    streams_close(&self->streams);
    program_clear(&self->program);
    free(self->exec_id);
    free(self->in);
    free(self->out);
    free(self->err);
    free(self);
}

static void container_free(container_t *self)
{
    free(self->id);
    free(self->bundle);
    free(self);
}

static void drop(process_t *process)
{
    process->is_deleted = true;
    process->container = NULL;
    pthread_cond_broadcast(&changed);
    process_unref(process);
}

void process_remove(process_t *self)
{
    TAILQ_REMOVE(&self->container->execs, self, link);
    drop(self);
}

void container_remove(container_t *self)
{
    process_t *init = self->init, *exec;
    while ((exec = TAILQ_FIRST(&self->execs)))
        process_remove(exec);
    TAILQ_REMOVE(&containers, self, link);
    if (init->state == PROCESS_CREATED && init->pid > 0) {
        kill(init->pid, SIGKILL);
        /* Names the container in the exit event that is still to come. */
        free(init->exec_id);
        init->exec_id = util_strdup(self->id);
        init->uses++;
        TAILQ_INSERT_TAIL(&ghosts, init, link);
    }
    drop(init);
    container_free(self);
}

/* Running ----------------------------------------------------------------------------------------
 */

/* Makes the process, which waits at the gate. */
static status_code_t spawn(process_t *self, status_t *st)
{
    status_code_t code = runner_spawn(&self->program, &self->streams, self->is_terminal, &self->pid,
                                      &self->gate, st);
    streams_close_child(&self->streams);
    return code;
}

static void open_gate(process_t *self)
{
    if (self->gate >= 0 && write(self->gate, "s", 1) != 1)
        perror("open the gate");
    util_close(&self->gate);
    self->state = PROCESS_RUNNING;
}

status_code_t process_start(process_t *self, status_t *st)
{
    bool is_exec = *self->exec_id;
    if (self->state != PROCESS_CREATED || self->has_failed)
        return status_set(st, STATUS_UNKNOWN, "cannot start a %s process: unknown",
                          self->state == PROCESS_RUNNING ? "running" : "stopped");
    if (is_exec && self->container->init->state != PROCESS_RUNNING)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "container %s init process is not running", self->container->id);
    if (is_exec || self->container->is_restored) {
        int64_t timeout = STDIO_TIMEOUT_MS;
        if (program_check(&self->program, st) ||
            (is_exec && streams_open(&self->streams, self->in, self->out, self->err,
                                     self->is_terminal, timeout, st)) ||
            spawn(self, st)) {
            self->has_failed = is_exec;
            pthread_cond_broadcast(&changed);
            return st->code;
        }
        pid_file_write(self->container->bundle, is_exec ? self->exec_id : "init", self->pid);
    }
    open_gate(self);
    return STATUS_OK;
}

/* A failure after "runc create" leaves the made process behind, and nobody who knows of it. */
static void leave_init(const container_t *container, process_t *init)
{
    status_t st;
    streams_open(&init->streams, "", "", "", false, 0, &st);
    if (spawn(init, &st) == STATUS_OK)
        pid_file_write(container->bundle, "init", init->pid);
    init->gate = -1; /* stays open, so that the stub waits at it */
}

container_t *container_create(const Containerd__Task__V2__CreateTaskRequest *ask,
                              const spec_t *spec, status_t *st)
{
    container_t *self = zmalloc(sizeof *self);
    *self = (container_t){.id = util_strdup(ask->id),
                          .bundle = util_strdup(ask->bundle),
                          .is_restored = *ask->checkpoint != '\0'};
    TAILQ_INIT(&self->execs);
    process_t *init = process_new(self, "", ask->stdin, ask->stdout, ask->stderr, ask->terminal);
    self->init = init;
    int64_t timeout = spec_setting_number(spec, "stdio-timeout", STDIO_TIMEOUT_MS);
    status_code_t code = spec_program(spec, &init->program, st);
    if (!code)
        code = program_check(&init->program, st);
    if (!code) {
        code = streams_open(&init->streams, ask->stdin, ask->stdout, ask->stderr, ask->terminal,
                            timeout, st);
        if (code)
            leave_init(self, init);
    }
    if (!code && !self->is_restored)
        code = spawn(init, st);
    if (code) {
        process_unref(init);
        container_free(self);
        return NULL;
    }
    if (init->pid > 0)
        pid_file_write(self->bundle, "init", init->pid);
    TAILQ_INSERT_TAIL(&containers, self, link);
    return self;
}

process_t *container_add_exec(container_t *self,
                              const Containerd__Task__V2__ExecProcessRequest *ask, status_t *st)
{
    program_t program;
    if (find_exec(self, ask->exec_id)) {
        status_set(st, STATUS_ALREADY_EXISTS, "id %s: already exists", ask->exec_id);
        return NULL;
    }
    if (self->is_paused || self->init->state == PROCESS_STOPPED) {
        status_set(st, STATUS_UNKNOWN, "cannot exec in a %s state: unknown",
                   self->is_paused ? "paused" : "stopped");
        return NULL;
    }
    if (program_parse(ask->spec->value.data, ask->spec->value.len, &program, st))
        return NULL;
    process_t *exec =
        process_new(self, ask->exec_id, ask->stdin, ask->stdout, ask->stderr, ask->terminal);
    exec->program = program;
    TAILQ_INSERT_TAIL(&self->execs, exec, link);
    return exec;
}

static void kill_execs(const container_t *self, int number)
{
    process_t *exec;
    TAILQ_FOREACH(exec, &self->execs, link)
    if (exec->state == PROCESS_RUNNING && !exec->is_ended)
        kill(-exec->pid, number);
}

status_code_t process_kill(const process_t *self, uint32_t number, bool all, status_t *st)
{
    if (self->is_ended || self->state == PROCESS_STOPPED)
        return status_set(st, STATUS_NOT_FOUND, "process already finished: not found");
    if (self->pid == 0)
        return status_set(st, STATUS_UNKNOWN, "process not created: unknown");
    if (all && self == self->container->init)
        kill_execs(self->container, (int)number);
    if (kill(all ? -self->pid : self->pid, (int)number) == 0)
        return STATUS_OK;
    if (errno == ESRCH)
        return status_set(st, STATUS_NOT_FOUND, "process already finished: not found");
    return status_set(st, STATUS_UNKNOWN, "kill: %s: unknown", strerror(errno));
}

void process_wait(process_t *self)
{
    self->uses++;
    while (self->state != PROCESS_STOPPED && !self->has_failed && !self->is_deleted)
        pthread_cond_wait(&changed, &lock);
}

void process_release(process_t *self)
{
    process_unref(self);
}

/* Ending -----------------------------------------------------------------------------------------
 */

static void publish_exit(const process_t *self, const char *container_id)
{
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    events_time(self->exited_ns, &time.seconds, &time.nanos);
    Containerd__Events__TaskExit event = CONTAINERD__EVENTS__TASK_EXIT__INIT;
    event.container_id = (char *)container_id;
    event.id = *self->exec_id ? self->exec_id : (char *)container_id;
    event.pid = (uint32_t)self->pid;
    event.exit_status = self->exit_status;
    event.exited_at = &time;
    events_publish("/tasks/exit", &event.base);
}

static void stop(process_t *self)
{
    self->state = PROCESS_STOPPED;
    streams_close(&self->streams);
    util_close(&self->gate);
    publish_exit(self, self->container->id);
    pthread_cond_broadcast(&changed);
}

/* Kills the execs of a container whose init has ended. True when there are none left. */
static bool end_execs(container_t *self)
{
    bool is_over = true;
    process_t *exec;
    TAILQ_FOREACH(exec, &self->execs, link)
    if (exec->state == PROCESS_RUNNING && !exec->is_ended) {
        kill(-exec->pid, SIGKILL);
        kill(exec->pid, SIGKILL);
        is_over = false;
    }
    return is_over;
}

static void note_end(process_t *self, int wait_status)
{
    self->is_ended = true;
    self->exited_ns = util_now_ns();
    self->exit_status = WIFSIGNALED(wait_status) ? 128 + (uint32_t)WTERMSIG(wait_status)
                                                 : (uint32_t)WEXITSTATUS(wait_status);
}

/* The init's exit is told last, whatever ended first. */
static void on_end(process_t *self, int wait_status)
{
    container_t *container = self->container;
    note_end(self, wait_status);
    if (self != container->init)
        stop(self);
    if (container->init->is_ended && container->init->state != PROCESS_STOPPED &&
        end_execs(container))
        stop(container->init);
}

static process_t *find_pid(pid_t pid)
{
    container_t *container;
    TAILQ_FOREACH(container, &containers, link)
    {
        process_t *process = container->init;
        if (process->pid == pid && !process->is_ended)
            return process;
        TAILQ_FOREACH(process, &container->execs, link)
        if (process->pid == pid && !process->is_ended)
            return process;
    }
    return NULL;
}

static void end_ghost(pid_t pid, int wait_status)
{
    process_t *ghost;
    TAILQ_FOREACH(ghost, &ghosts, link)
    if (ghost->pid == pid) {
        note_end(ghost, wait_status);
        publish_exit(ghost, ghost->exec_id);
        TAILQ_REMOVE(&ghosts, ghost, link);
        process_unref(ghost);
        return;
    }
}

void containers_reap(void)
{
    int wait_status;
    pid_t pid;
    containers_lock();
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        process_t *process = find_pid(pid);
        if (process)
            on_end(process, wait_status);
        else
            end_ghost(pid, wait_status);
    }
    containers_unlock();
}
