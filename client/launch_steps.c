/* Steps of a launch up to the start, each with what undoes it. */
#include "client/console.h"
#include "client/launch_internal.h"
#include "client/pid_file.h"
#include "common/util.h"

/* What undoing meets is not what the user has to know, unless something is left over. */
static void undone(launch_t *self, const char *what, const status_t *st)
{
    status_t failed = *st;
    if (st->code && st->code != STATUS_NOT_FOUND) {
        session_explain(&failed, what, self->options->id);
        status_wrap(&failed, "undo");
        session_fail(&failed);
    }
    launch_advance(self, STEP_DONE);
}

static void on_container_undone(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    undone(arg, "delete container", st);
}

static void on_task_undone(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    undone(arg, "delete task", st);
}

/* container --------------------------------------------------------------------------------------
 */

static void on_container_created(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    if (!st->code)
        self->created_at = ((const msg_container_t *)answer)->created_at;
    launch_on_reply(self, st, answer);
}

static bool uses_fifos(const launch_options_t *options)
{
    return !options->null_io && !options->log_uri && !options->logs;
}

/* What is to be removed at the end is removed by the cluster when we are killed. */
launch_outcome_t launch_create_container(launch_t *self)
{
    self->created_at = self->options->created_at;
    if (!self->options->container)
        return STEP_DONE;
    msg_container_create_t ask = *self->options->container;
    ask.remove = ask.held = self->options->remove;
    if (ask.remove && uses_fifos(self->options))
        ask.fifos = self->fifos;
    return launch_ask(self, MSG_container_create, &ask, on_container_created);
}

launch_outcome_t launch_undo_container(launch_t *self)
{
    const msg_container_delete_t ask = {.id = self->options->id};
    if (!self->options->container)
        return STEP_DONE;
    return launch_ask(self, MSG_container_delete, &ask, on_container_undone);
}

/* I/O --------------------------------------------------------------------------------------------
 */

static char *log_writer(launch_t *self)
{
    const launch_options_t *options = self->options;
    const log_uri_subject_t subject = {.cluster = options->logs,
                                       .ns = session_ns(self->session),
                                       .id = options->id,
                                       .exec_id = options->exec_id,
                                       .created_at = self->created_at};
    return log_uri_new(&subject, &options->log_limits, options->terminal, &self->st);
}

launch_outcome_t launch_open_io(launch_t *self)
{
    const launch_options_t *options = self->options;
    zloop_t *loop = session_loop(self->session);
    if (options->attach) {
        self->io = task_io_open(loop, options->attach->stdin, options->attach->stdout,
                                options->attach->stderr, &self->st);
        return self->io ? STEP_DONE : STEP_FAILED;
    }
    AUTO_FREE char *writer = options->logs ? log_writer(self) : NULL;
    if (options->logs && !writer)
        return STEP_FAILED;
    AUTO_FREE char *owner = session_bundle(self->session, options->id);
    const task_io_options_t wanted = {.name = options->exec_id ? options->exec_id : options->id,
                                      .dir = self->fifos,
                                      .owner = options->exec_id ? owner : NULL,
                                      .terminal = options->terminal,
                                      .null_io = options->null_io,
                                      .log_uri = options->log_uri,
                                      .log_writer = writer};
    self->io = task_io_new(loop, &wanted, &self->st);
    return self->io ? STEP_DONE : STEP_FAILED;
}

launch_outcome_t launch_undo_io(launch_t *self)
{
    task_io_destroy(&self->io);
    return STEP_DONE;
}

/* task or exec -----------------------------------------------------------------------------------
 */

static void on_task_created(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    if (!st->code)
        self->pid = ((const msg_started_t *)answer)->pid;
    launch_on_reply(self, st, answer);
}

static launch_outcome_t create_exec(launch_t *self)
{
    const msg_task_exec_t ask = {.id = self->options->id,
                                 .exec_id = self->options->exec_id,
                                 .terminal = self->options->terminal,
                                 .stdin = task_io_stdin(self->io),
                                 .stdout = task_io_stdout(self->io),
                                 .stderr = task_io_stderr(self->io),
                                 .spec = self->options->process,
                                 .deadline_ms = (uint64_t)self->options->deadline_ms};
    return launch_ask(self, MSG_task_exec, &ask, launch_on_reply);
}

launch_outcome_t launch_create_task(launch_t *self)
{
    if (self->options->attach)
        return STEP_DONE;
    if (self->options->exec_id)
        return create_exec(self);
    const msg_task_create_t ask = {.id = self->options->id,
                                   .terminal = self->options->terminal,
                                   .checkpoint = self->options->checkpoint,
                                   .stdin = task_io_stdin(self->io),
                                   .stdout = task_io_stdout(self->io),
                                   .stderr = task_io_stderr(self->io)};
    return launch_ask(self, MSG_task_create, &ask, on_task_created);
}

launch_outcome_t launch_undo_task(launch_t *self)
{
    const msg_task_delete_t ask = {
        .id = self->options->id, .exec_id = self->options->exec_id, .force = true};
    if (self->options->attach)
        return STEP_DONE;
    return launch_ask(self, MSG_task_delete, &ask, on_task_undone);
}

/* pid file ---------------------------------------------------------------------------------------
 */

launch_outcome_t launch_write_pid_file(launch_t *self)
{
    if (!self->options->pid_file)
        return STEP_DONE;
    if (pid_file_write(self->options->pid_file, self->pid, &self->st))
        return STEP_FAILED;
    self->wrote_pid_file = true;
    return STEP_DONE;
}

launch_outcome_t launch_undo_pid_file(launch_t *self)
{
    if (self->wrote_pid_file)
        (void)unlink(self->options->pid_file); /* its reader may have taken it away */
    return STEP_DONE;
}

/* start ------------------------------------------------------------------------------------------
 */

/* The process may have spoken, and been answered with a signal, before its start was answered. */
static void release_signals(launch_t *self)
{
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&self->held, number) == 1)
            launch_on_signal(self, number);
}

static void on_started(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    progress_end(&self->progress);
    if (!st->code) {
        self->started = true;
        self->pid = ((const msg_started_t *)answer)->pid;
        /* An exec has no terminal before its start; a container should not see 0 x 0 after it. So
         * the size is sent on both sides of the start. */
        if (self->options->terminal && !self->options->detach)
            launch_send_size(self);
    }
    launch_on_reply(self, st, answer);
    if (self->started) {
        if (!self->options->detach)
            task_io_take_input(self->io);
        release_signals(self);
        launch_on_drained(self); /* its output may have been refused already */
    }
}

static launch_outcome_t ask_start(launch_t *self)
{
    const msg_task_start_t ask = {.id = self->options->id, .exec_id = self->options->exec_id};
    return launch_ask(self, MSG_task_start, &ask, on_started);
}

/* A size that could not be set is no reason not to start. */
static void on_sized(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    (void)st;
    (void)answer;
    if (!self->over)
        ask_start(self);
}

launch_outcome_t launch_start(launch_t *self)
{
    const launch_options_t *options = self->options;
    bool has_console = !options->detach && options->terminal;
    if (has_console && console_raw(&self->st))
        return STEP_FAILED;
    if (!options->detach)
        task_io_start(self->io, launch_on_stdin_end, launch_on_drained, self);
    /* Its program may look at the size first of all: a shim may serve the later request sooner. */
    if (has_console && !options->attach && !options->exec_id && launch_ask_size(self, on_sized))
        return STEP_ASKED;
    if (!options->attach)
        return ask_start(self);
    if (has_console)
        launch_send_size(self);
    progress_end(&self->progress);
    self->started = true;
    task_io_take_input(self->io);
    return STEP_DONE;
}
