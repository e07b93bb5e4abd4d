/* Making, starting and following a process in a container: the plan and who walks it. */
#include "client/console.h"
#include "client/exit_status.h"
#include "client/launch_internal.h"
#include "client/output.h"
#include "common/fifos.h"
#include "common/util.h"

#include <errno.h>

typedef struct step {
    const char *what; /* stands before the sentence of its failure */
    launch_outcome_t (*run)(launch_t *self);
    launch_outcome_t (*undo)(launch_t *self); /* NULL: nothing to undo */
} step_t;

/* The exit is asked for before the start, so that none is missed; output is drained before the task
 * is deleted, and what the deletion lets out after it. Undoing the task ends its process too. */
static const step_t plan[] = {
    {"create container", launch_create_container, launch_undo_container},
    {"open I/O", launch_open_io, launch_undo_io},
    {"create task", launch_create_task, launch_undo_task},
    {"write pid file", launch_write_pid_file, launch_undo_pid_file},
    {"wait", launch_wait, NULL},
    {"start", launch_start, NULL},
    {"follow", launch_follow, NULL},
    {"delete task", launch_delete_task, NULL},
    {"last output", launch_follow, NULL},
    {"delete container", launch_delete_container, NULL},
};

static int end_loop(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    (void)arg;
    return -1;
}

void launch_end(launch_t *self)
{
    if (self->over)
        return;
    self->over = true;
    zloop_timer(session_loop(self->session), 0, 1, end_loop, self);
}

launch_outcome_t launch_ask(launch_t *self, msg_id_t method, const void *ask, link_reply_t *reply)
{
    link_ask(self->link, method, ask, session_ns(self->session), session_timeout_ms(self->session),
             NULL, reply, self);
    return STEP_ASKED;
}

void launch_on_reply(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    (void)answer;
    if (self->over)
        return;
    if (st->code) {
        self->st = *st;
        session_explain(&self->st, plan[self->at].what, self->options->id);
    }
    launch_advance(self, st->code ? STEP_FAILED : STEP_DONE);
}

/* A step that was refused did nothing; after any other failure it may have happened. */
static void begin_undo(launch_t *self)
{
    console_restore();
    self->undoing = true;
    if (!status_is_uncertain(self->st.code))
        self->at--;
}

static launch_outcome_t run_step(launch_t *self)
{
    const step_t *step = &plan[self->at];
    if (!self->undoing)
        return step->run(self);
    return step->undo ? step->undo(self) : STEP_DONE;
}

/* CANCELLED counts as uncertain, so that the step which was just done is undone too. */
static bool is_interrupted(launch_t *self)
{
    if (!self->interrupts || self->started || self->undoing || self->at < 0)
        return false;
    status_set(&self->st, STATUS_CANCELLED, "%s: interrupted", self->options->id);
    return true;
}

void launch_advance(launch_t *self, launch_outcome_t outcome)
{
    while (outcome != STEP_ASKED && !self->over) {
        if (is_interrupted(self) && outcome == STEP_DONE)
            outcome = STEP_FAILED;
        if (outcome == STEP_FAILED && self->started)
            break;
        if (outcome == STEP_FAILED)
            begin_undo(self);
        else
            self->at += self->undoing ? -1 : 1;
        if (self->at < 0 || self->at >= (int)ARRAY_SIZE(plan))
            break;
        outcome = run_step(self);
    }
    if (outcome != STEP_ASKED)
        launch_end(self);
}

static void print_json(const launch_t *self)
{
    json_t *object = json_pack("{s:s, s:s*, s:i}", "id", self->options->id, "exec_id",
                               self->options->exec_id, "pid", (int)self->pid);
    if (self->exited && !self->verdict.code) {
        json_object_set_new(object, "exit_status", json_integer(self->code));
        json_object_set_new(object, "exited_at", json_integer(self->exited_at));
    }
    output_json(object);
}

/* Output that nobody wanted is not missed; what could not be written is. */
static int report_lost(const launch_t *self)
{
    status_t st;
    if (!self->lost || self->lost == EPIPE)
        return 0;
    status_errno(&st, self->lost, "%s: output was lost: write to standard output or error",
                 self->options->id);
    return session_fail(&st);
}

/* The process's exit code wins over a failure to clean up after it, unless it is 0; not over one to
 * start it: then the code is that of what was to become the process. */
static int result_of(const launch_t *self)
{
    if (session_json(self->session) && self->started)
        print_json(self);
    int lost = report_lost(self);
    int failed = self->st.code ? session_fail(&self->st) : lost;
    if (self->verdict.code)
        failed = session_fail(&self->verdict);
    else if (self->code && self->started)
        return self->code;
    return failed;
}

static status_code_t check(const launch_options_t *options, status_t *st)
{
    if (options->terminal && !options->detach && !console_is_there())
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "%s: it wants a terminal, but standard input is none", options->id);
    return STATUS_OK;
}

/* A detached task goes on with its fifos. */
static void close_io(launch_t *self)
{
    const msg_process_t *attach = self->options->attach;
    if (self->io && self->started && self->options->detach)
        task_io_keep(self->io);
    task_io_destroy(&self->io);
    if (self->deleted && !self->options->exec_id)
        session_sweep_fifos(self->session, self->options->id);
    if (attach && self->deleted)
        fifos_remove(self->options->id,
                     (const char *const[3]){attach->stdin, attach->stdout, attach->stderr});
}

int launch(session_t *session, const launch_options_t *options)
{
    launch_t self = {.session = session, .options = options, .at = -1};
    sigemptyset(&self.held);
    if (check(options, &self.st))
        return session_fail(&self.st);
    self.link = session_link(session, &self.st);
    if (!self.link)
        return session_fail(&self.st);
    AUTO_FREE char *dir = util_format("%s/fifo", session_cluster(session)->run_dir);
    AUTO_FREE char *fifos = fifos_dir_name(options->fifo_dir ? options->fifo_dir : dir);
    self.fifos = fifos;
    self.progress = progress_begin(command_own_name(session_command(session)));
    self.signals = signals_new(session_loop(session), launch_on_signal, &self);
    launch_advance(&self, STEP_DONE);
    zloop_start(session_loop(session));
    progress_end(&self.progress);
    console_restore();
    if (msg_uuid_is_set(&self.wait_id))
        link_forget(self.link, &self.wait_id);
    close_io(&self);
    signals_destroy(&self.signals);
    return result_of(&self);
}
