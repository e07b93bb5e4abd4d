/* A launch from the start of its process to the end: exit, output, signals. */
#include "client/console.h"
#include "client/launch_internal.h"
#include "common/util.h"

#include <errno.h>
#include <signal.h>

/* Silence that ends the wait for output. After the exit another process may still hold the pipe;
 * once the task is deleted nobody does. */
#define DRAIN_EXIT_MS   2000
#define DRAIN_DELETE_MS 200
#define DRAIN_TICK_MS   50

#define LOST_PATIENCE_MS 3000 /* from TERM to KILL when nobody reads the output any more */

#define SIGNALS_UNANSWERED_MAX 2 /* the next ending signal is then for this program */

#define SIGNAL_BASE 128 /* exit code of a process that signal n ended is this + n */

/* output -----------------------------------------------------------------------------------------
 */

static bool output_is_over(const launch_t *self)
{
    if (self->deaf || task_io_is_drained(self->io))
        return true;
    int64_t limit = self->deleted ? DRAIN_DELETE_MS : DRAIN_EXIT_MS;
    int64_t quiet = (util_monotonic_us() - self->quiet_from) / 1000;
    return quiet >= limit && task_io_idle_ms(self->io) >= limit;
}

static void look_again(launch_t *self)
{
    if (!self->awaiting || !self->exited || !output_is_over(self))
        return;
    self->awaiting = false;
    launch_advance(self, STEP_DONE);
}

static int on_tick(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    look_again(arg);
    return 0;
}

static void on_told_to_end(void *arg, const status_t *st, const void *answer)
{
    (void)arg;
    (void)st; /* it may have ended meanwhile; the wait tells */
    (void)answer;
}

static void tell_to_end(launch_t *self, int number)
{
    const msg_task_kill_t ask = {
        .id = self->options->id, .exec_id = self->options->exec_id, .signal = (uint32_t)number};
    launch_ask(self, MSG_task_kill, &ask, on_told_to_end);
}

static int on_patience_over(zloop_t *loop, int timer, void *arg)
{
    launch_t *self = arg;
    (void)loop;
    (void)timer;
    if (!self->exited && !self->over)
        tell_to_end(self, SIGKILL);
    return 0;
}

/* Leaves the process as it is. */
static void leave(launch_t *self, int number)
{
    task_io_keep(self->io);
    self->code = SIGNAL_BASE + number;
    launch_end(self);
}

static void end_process(launch_t *self)
{
    tell_to_end(self, SIGTERM);
    zloop_timer(session_loop(self->session), LOST_PATIENCE_MS, 1, on_patience_over, self);
}

/* With a terminal, keys reach the container as keys; a signal, or the loss of the terminal, is for
 * this program. It leaves, and the container stays as it is, unless it was to be gone at the end:
 * then it is ended first. */
static void lose_terminal(launch_t *self, int number)
{
    bool is_told_twice = self->ending && number == SIGHUP;
    if (self->over || self->exited || is_told_twice)
        return;
    if (!self->options->remove || self->ending) {
        leave(self, number);
        return;
    }
    self->ending = true;
    end_process(self);
}

/* Nobody reads what the process writes. Had it our standard output it would get SIGPIPE, which the
 * first process of a container is free to ignore by default; so it gets SIGTERM, and SIGKILL when
 * that does not end it. A process that ran before we came goes on without us. */
static void lose_reader(launch_t *self)
{
    if (self->exited)
        return;
    if (self->options->attach) {
        task_io_keep(self->io);
        self->code = SIGNAL_BASE + SIGPIPE;
        launch_end(self);
        return;
    }
    end_process(self);
}

void launch_on_drained(void *arg)
{
    launch_t *self = arg;
    int error = task_io_error(self->io);
    if (error && !self->lost && self->started) {
        self->lost = error;
        if (error == EIO && console_is_closed() && self->options->terminal)
            lose_terminal(self, SIGHUP);
        else if (error == EPIPE || (error == EIO && console_is_closed()))
            lose_reader(self);
    }
    look_again(self);
}

launch_outcome_t launch_follow(launch_t *self)
{
    if (self->options->detach)
        return STEP_DONE;
    if (self->st.code)
        return STEP_FAILED;
    if (self->exited && output_is_over(self))
        return STEP_DONE;
    self->awaiting = true;
    return STEP_ASKED;
}

/* exit -------------------------------------------------------------------------------------------
 */

static void on_exited(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    const msg_exited_t *exited = answer;
    if (self->undoing || self->over)
        return;
    if (st->code) {
        /* The process may go on: nothing is deleted, and who attaches next needs the fifos. */
        self->st = *st;
        status_wrap(&self->st, "wait");
        task_io_keep(self->io);
        if (self->awaiting)
            launch_advance(self, STEP_FAILED);
        return;
    }
    self->exited = true;
    self->exited_at = exited->exited_at;
    self->code = (int)(exited->exit_status & 0xff);
    if (exited->unknown)
        status_set(&self->verdict, STATUS_UNKNOWN, "%s: the exit code is not known%s%s",
                   self->options->id, exited->why ? ": " : "", exited->why ? exited->why : "");
    self->quiet_from = util_monotonic_us();
    zloop_timer(session_loop(self->session), DRAIN_TICK_MS, 0, on_tick, self);
    look_again(self);
}

launch_outcome_t launch_wait(launch_t *self)
{
    const msg_task_wait_t ask = {.id = self->options->id, .exec_id = self->options->exec_id};
    if (!self->options->detach)
        self->wait_id = link_ask(self->link, MSG_task_wait, &ask, session_ns(self->session), -1,
                                 NULL, on_exited, self);
    return STEP_DONE;
}

/* deleting ---------------------------------------------------------------------------------------
 */

/* Somebody else was faster. */
static status_t unless_gone(const status_t *st)
{
    status_t outcome = *st;
    if (outcome.code == STATUS_NOT_FOUND)
        status_clear(&outcome);
    return outcome;
}

static void on_task_deleted(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    status_t outcome = unless_gone(st);
    self->deleted = true;
    self->quiet_from = util_monotonic_us();
    launch_on_reply(self, &outcome, answer);
}

launch_outcome_t launch_delete_task(launch_t *self)
{
    const msg_task_delete_t ask = {.id = self->options->id, .exec_id = self->options->exec_id};
    if (self->options->detach)
        return STEP_DONE;
    return launch_ask(self, MSG_task_delete, &ask, on_task_deleted);
}

static void on_container_deleted(void *arg, const status_t *st, const void *answer)
{
    const status_t outcome = unless_gone(st);
    launch_on_reply(arg, &outcome, answer);
}

launch_outcome_t launch_delete_container(launch_t *self)
{
    const msg_container_delete_t ask = {.id = self->options->id};
    if (!self->options->remove || self->options->detach)
        return STEP_DONE;
    return launch_ask(self, MSG_container_delete, &ask, on_container_deleted);
}

/* input, size, signals ---------------------------------------------------------------------------
 */

static void ignore_reply(void *arg, const status_t *st, const void *answer)
{
    (void)arg;
    (void)st;
    (void)answer;
}

/* A terminal in raw mode has no end but its loss. */
void launch_on_stdin_end(void *arg)
{
    launch_t *self = arg;
    if (self->options->terminal) {
        lose_terminal(self, SIGHUP);
        return;
    }
    const msg_task_close_io_t ask = {
        .id = self->options->id, .exec_id = self->options->exec_id, .stdin = true};
    if (!self->exited)
        launch_ask(self, MSG_task_close_io, &ask, ignore_reply);
}

bool launch_ask_size(launch_t *self, link_reply_t *reply)
{
    msg_task_resize_t ask = {.id = self->options->id, .exec_id = self->options->exec_id};
    if (!console_size(&ask.width, &ask.height))
        return false;
    launch_ask(self, MSG_task_resize, &ask, reply);
    return true;
}

/* One that cannot be told or set is no reason to stop anything. */
void launch_send_size(launch_t *self)
{
    launch_ask_size(self, ignore_reply);
}

static void on_forwarded(void *arg, const status_t *st, const void *answer)
{
    launch_t *self = arg;
    (void)answer;
    if (self->over)
        return;
    self->unanswered = 0;
    if (st->code && st->code != STATUS_NOT_FOUND)
        fprintf(stderr, "shimctl: pass a signal on: %s\n", st->text);
}

/* Before the start a first ending signal undoes what was made, as soon as the present step is
 * answered; a second one gives up. Where the start comes first, all are for what runs. */
static void interrupt(launch_t *self, int number)
{
    sigaddset(&self->held, number);
    if (!signals_is_ending(number) || self->interrupts++ == 0)
        return;
    status_set(&self->st, STATUS_CANCELLED, "%s: interrupted twice: what was made may be left",
               self->options->id);
    launch_end(self);
}

/* Somebody who presses Ctrl-C again and again gets away even when no cluster is there to pass it on
 * to; the container stays as it is. */
static void pass_on(launch_t *self, int number)
{
    const msg_task_kill_t ask = {
        .id = self->options->id, .exec_id = self->options->exec_id, .signal = (uint32_t)number};
    if (signals_is_ending(number) && self->unanswered >= SIGNALS_UNANSWERED_MAX) {
        leave(self, number);
        return;
    }
    self->unanswered++;
    launch_ask(self, MSG_task_kill, &ask, on_forwarded);
}

void launch_on_signal(void *arg, int number)
{
    launch_t *self = arg;
    if (self->over)
        return;
    if (number == SIGWINCH) {
        if (self->started && self->options->terminal)
            launch_send_size(self);
        return;
    }
    if (!self->started) {
        interrupt(self, number);
    } else if (self->exited) {
        self->deaf = self->deaf || signals_is_ending(number);
        look_again(self);
    } else if (self->options->terminal) {
        if (signals_is_ending(number))
            lose_terminal(self, number);
    } else {
        pass_on(self, number);
    }
}
