/* shimctl stop and restart: TERM, some patience, then KILL. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/launch.h"
#include "client/output.h"
#include "common/fifos.h"
#include "common/util.h"

#include <signal.h>

#define PATIENCE_MS 10000 /* as docker's */

typedef struct stopping {
    uint32_t signal;
    int64_t patience_ms;
    int64_t began_us; /* all signals are sent before the first is waited for */
} stopping_t;

static status_code_t read_words(session_t *session, stopping_t *ret, status_t *st)
{
    const options_t *options = session_options(session);
    const char *name = options_text(options, "signal");
    *ret = (stopping_t){.signal = SIGTERM, .patience_ms = PATIENCE_MS};
    if (name && arguments_signal(name, &ret->signal, st))
        return st->code;
    return options_milliseconds(options, "time", &ret->patience_ms, st);
}

static status_code_t task_of(session_t *session, const char *id, msg_process_t *ret, status_t *st)
{
    const msg_task_get_t ask = {.id = id};
    return session_call(session, MSG_task_get, &ask, ret, st);
}

static status_code_t send_signal(session_t *session, const char *id, uint32_t number, bool all,
                                 status_t *st)
{
    const msg_task_kill_t ask = {.id = id, .signal = number, .all = all, .stop = true};
    return session_call(session, MSG_task_kill, &ask, NULL, st);
}

/* Also of what has ended: a restart may be due, which the signal forestalls. A frozen process gets
 * it when it is thawed. */
static status_code_t ask_to_end(session_t *session, const char *id, uint32_t number, status_t *st)
{
    msg_process_t task;
    bool is_told = !send_signal(session, id, number, false, st);
    if (!is_told && st->code != STATUS_NOT_FOUND)
        return st->code;
    status_clear(st);
    if (task_of(session, id, &task, st)) {
        if (is_told && st->code == STATUS_NOT_FOUND) /* it was between two runs */
            status_clear(st);
        return st->code;
    }
    if (strcmp(task.status, "PAUSED"))
        return STATUS_OK;
    return session_call(session, MSG_task_resume, &(msg_task_resume_t){.id = id}, NULL, st);
}

static status_code_t await_end(session_t *session, const char *id, int64_t limit_ms, status_t *st)
{
    msg_exited_t exited;
    const msg_task_wait_t ask = {.id = id};
    link_t *link = session_link(session, st);
    if (!link)
        return st->code;
    return link_call(link, MSG_task_wait, &ask, session_ns(session), limit_ms,
                     session_zone(session), &exited, st);
}

static status_code_t make_end(session_t *session, const stopping_t *how, const char *id,
                              status_t *st)
{
    int64_t left = how->patience_ms - (util_monotonic_us() - how->began_us) / 1000;
    await_end(session, id, left > 1 ? left : 1, st);
    if (st->code != STATUS_DEADLINE_EXCEEDED)
        return st->code;
    status_clear(st);
    if (send_signal(session, id, SIGKILL, true, st) && st->code != STATUS_NOT_FOUND)
        return st->code; /* what has ended in between is waited for too */
    status_clear(st);
    return session_wait(session, MSG_task_wait, &(msg_task_wait_t){.id = id}, NULL, st);
}

/* What is to be gone at its end would be gone before it could be started again. */
static status_code_t may_restart(session_t *session, const char *id, status_t *st)
{
    msg_container_t record;
    const msg_container_get_t ask = {.id = id};
    if (!session_call(session, MSG_container_get, &ask, &record, st) && record.removal)
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "%s is removed when it has ended (--rm): it cannot be restarted", id);
    return st->code;
}

/* First all are asked, then each is waited for, so that their patience runs at once. What fails is
 * said and the others go on. `then` may be NULL. */
static int stop_all(session_t *session, const stopping_t *how, session_work_t *then)
{
    size_t count;
    int result = 0;
    char **ids = session_operands(session, &count);
    AUTO_FREE status_t *each = zmalloc((count + 1) * sizeof *each);
    for (size_t i = 0; i < count; i++)
        if (!then || !may_restart(session, ids[i], &each[i]))
            ask_to_end(session, ids[i], how->signal, &each[i]);
    for (size_t i = 0; i < count; i++) {
        if (each[i].code || make_end(session, how, ids[i], &each[i]) ||
            (then && then(session, ids[i], &each[i]))) {
            session_explain(&each[i], command_own_name(session_command(session)), ids[i]);
            int failed = session_fail(&each[i]);
            result = result ? result : failed;
        } else if (!then) {
            if (session_json(session))
                output_json(json_pack("{s:s}", "id", ids[i]));
        }
    }
    return result;
}

int cmd_stop(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    stopping_t how;
    if (read_words(session, &how, &st))
        return session_fail(&st);
    how.began_us = util_monotonic_us();
    return stop_all(session, &how, NULL);
}

/* Restarting ------------------------------------------------------------------------------------
 */

static bool is_uri(const char *text)
{
    return text && strstr(text, "://");
}

/* The new task writes to where the old one did. Fifos are made anew: theirs went with them. */
static status_code_t start_again(session_t *session, const char *id, status_t *st)
{
    msg_process_t task;
    msg_exited_t exited;
    if (task_of(session, id, &task, st) ||
        session_call(session, MSG_task_delete, &(msg_task_delete_t){.id = id}, &exited, st))
        return st->code;
    fifos_remove(id, (const char *const[3]){task.stdin, task.stdout, task.stderr});
    session_sweep_fifos(session, id);
    bool none = !task.terminal && (!task.stdout || !*task.stdout);
    const launch_options_t wanted = {.id = id,
                                     .detach = true,
                                     .terminal = task.terminal,
                                     .null_io = none,
                                     .log_uri = is_uri(task.stdout) ? task.stdout : NULL};
    if (launch(session, &wanted))
        return status_set(st, STATUS_UNKNOWN, "%s is stopped and was not started again", id);
    return STATUS_OK;
}

int cmd_restart(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    stopping_t how;
    if (read_words(session, &how, &st))
        return session_fail(&st);
    how.began_us = util_monotonic_us();
    return stop_all(session, &how, start_again);
}
