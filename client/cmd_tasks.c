/* shimctl tasks: what needs no terminal and no pipes. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "client/tasks_at.h"
#include "common/fifos.h"
#include "common/util.h"

#include <signal.h>

#define PADDING 4

static bool option_quiet(session_t *session)
{
    return options_flag(session_options(session), "quiet");
}

/* Listing ---------------------------------------------------------------------------------------
 */

static json_t *task_at_json(const task_at_t *task)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:s}", "ns", task->ns, "id", task->id, "status",
                     task->status, "pid", (json_int_t)task->pid, "incarnation", task->incarnation);
}

static int list_at(session_t *session, const char *when)
{
    status_t st = {.code = STATUS_OK};
    size_t count;
    session_operands(session, &count);
    if (count)
        return session_usage(session, "--at takes no filters");
    AUTO(tasks_at)
    tasks = tasks_at_new(session, when, &st);
    if (!tasks)
        return session_fail(&st);
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "TASK\tPID\tSTATUS\t");
    const task_at_t *task;
    for (size_t i = 0; (task = tasks_at_row(tasks, i)); i++) {
        if (session_json(session))
            output_json(option_quiet(session) ? json_pack("{s:s}", "id", task->id)
                                              : task_at_json(task));
        else if (option_quiet(session))
            puts(task->id);
        else
            table_add(table, "%s\t%u\t%s", task->id, task->pid, task->status);
    }
    if (!option_quiet(session) && !session_json(session))
        table_print(table, stdout);
    return 0;
}

int cmd_tasks_list(session_t *session)
{
    status_t st;
    msg_processes_t answer;
    const char *when = options_text(session_options(session), "at");
    if (when)
        return list_at(session, when);
    const msg_task_list_t ask = {.filters = session_filters(session)};
    if (session_call(session, MSG_task_list, &ask, &answer, &st))
        return session_fail(&st);
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "TASK\tPID\tSTATUS\t");
    for (size_t i = 0; i < answer.tasks.count; i++) {
        const msg_process_t *task = &answer.tasks.items[i];
        if (session_json(session))
            output_json(option_quiet(session) ? json_pack("{s:s}", "id", task->id)
                                              : message_json(MSG_process, task));
        else if (option_quiet(session))
            puts(task->id);
        else
            table_add(table, "%s\t%u\t%s%s", task->id, task->pid, task->status,
                      task->unresponsive ? " (unresponsive)"
                      : task->orphaned   ? " (orphaned)"
                                         : "");
    }
    if (!option_quiet(session) && !session_json(session))
        table_print(table, stdout);
    return 0;
}

int cmd_tasks_ps(session_t *session)
{
    status_t st;
    msg_pid_list_t answer;
    msg_task_pids_t ask = {.id = session_operand(session, 0)};
    if (session_call(session, MSG_task_pids, &ask, &answer, &st)) {
        session_explain(&st, "task", ask.id);
        return session_fail(&st);
    }
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "PID\tINFO");
    for (size_t i = 0; i < answer.processes.count; i++) {
        const msg_pid_entry_t *entry = &answer.processes.items[i];
        if (session_json(session))
            output_json(message_json(MSG_pid_entry, entry));
        else
            table_add(table, "%u\t%s", entry->pid, entry->exec_id ? entry->exec_id : "-");
    }
    if (!session_json(session))
        table_print(table, stdout);
    return 0;
}

/* Signals, pausing ------------------------------------------------------------------------------
 */

int cmd_tasks_kill(session_t *session)
{
    status_t st;
    const options_t *options = session_options(session);
    const char *name = options_text(options, "signal");
    msg_task_kill_t ask = {.id = session_operand(session, 0),
                           .exec_id = options_text(options, "exec-id"),
                           .signal = SIGTERM,
                           .all = options_flag(options, "all")};
    if (ask.exec_id && ask.all)
        return session_usage(session, "--exec-id and --all cannot be used together");
    if (name && arguments_signal(name, &ask.signal, &st))
        return session_fail(&st);
    if (session_call(session, MSG_task_kill, &ask, NULL, &st)) {
        session_explain(&st, "kill", ask.id);
        return session_fail(&st);
    }
    if (session_json(session))
        output_json(json_pack("{s:s, s:s*, s:i}", "id", ask.id, "exec_id", ask.exec_id, "signal",
                              (int)ask.signal));
    return 0;
}

/* pause and resume have the same shape: an id to ask with, nothing to answer. */
static int change(session_t *session, msg_id_t method, const void *ask, const char *what)
{
    status_t st;
    const char *id = session_operand(session, 0);
    if (session_call(session, method, ask, NULL, &st)) {
        session_explain(&st, what, id);
        return session_fail(&st);
    }
    if (session_json(session))
        output_json(json_pack("{s:s}", "id", id));
    return 0;
}

int cmd_tasks_pause(session_t *session)
{
    const msg_task_pause_t ask = {.id = session_operand(session, 0)};
    return change(session, MSG_task_pause, &ask, "pause");
}

int cmd_tasks_resume(session_t *session)
{
    const msg_task_resume_t ask = {.id = session_operand(session, 0)};
    return change(session, MSG_task_resume, &ask, "resume");
}

/* Waiting ---------------------------------------------------------------------------------------
 */

static void print_exit(session_t *session, const char *id, const msg_exited_t *exited)
{
    if (!session_json(session)) {
        printf("%u\n", exited->exit_status);
        fflush(stdout);
        return;
    }
    json_t *object = message_json(MSG_exited, exited);
    json_object_set_new(object, "id", json_string(id));
    if (exited->unknown)
        json_object_del(object, "exit_status");
    output_json(object);
}

static status_code_t wait_one(session_t *session, const char *id, status_t *st)
{
    msg_exited_t exited;
    const char *exec_id = options_text(session_options(session), "exec-id");
    const msg_task_wait_t ask = {.id = id, .exec_id = exec_id};
    if (session_wait(session, MSG_task_wait, &ask, &exited, st))
        return session_explain(st, "wait for", id);
    if (!exited.unknown || session_json(session))
        print_exit(session, id, &exited);
    if (exited.unknown)
        return status_set(st, STATUS_UNKNOWN, "%s: the exit code is not known%s%s", id,
                          exited.why ? ": " : "", exited.why ? exited.why : "");
    return STATUS_OK;
}

int cmd_tasks_wait(session_t *session)
{
    return session_each(session, 0, wait_one);
}

/* Deleting --------------------------------------------------------------------------------------
 */

/* A client that started the task detached left its fifos behind; where they are is known as long as
 * the task is. */
static void find_fifos(session_t *session, const char *id, const char *exec_id,
                       const char *paths[3])
{
    status_t st;
    msg_process_t process;
    const msg_task_get_t ask = {.id = id, .exec_id = exec_id};
    if (session_call(session, MSG_task_get, &ask, &process, &st))
        return;
    paths[0] = process.stdin;
    paths[1] = process.stdout;
    paths[2] = process.stderr;
}

static status_code_t delete_one(session_t *session, const char *id, msg_exited_t *exited,
                                status_t *st)
{
    const options_t *options = session_options(session);
    const char *paths[3] = {NULL, NULL, NULL};
    const msg_task_delete_t ask = {.id = id,
                                   .exec_id = options_text(options, "exec-id"),
                                   .force = options_flag(options, "force")};
    find_fifos(session, id, ask.exec_id, paths);
    if (session_call(session, MSG_task_delete, &ask, exited, st))
        return session_explain(st, "delete task", id);
    fifos_remove(ask.exec_id ? ask.exec_id : id, paths);
    if (!ask.exec_id)
        session_sweep_fifos(session, id);
    if (session_json(session))
        print_exit(session, id, exited);
    return STATUS_OK;
}

static status_code_t delete_task(session_t *session, const char *id, status_t *st)
{
    msg_exited_t exited;
    return delete_one(session, id, &exited, st);
}

/* As ctr: deleting an exec ends with the exec's own exit code. */
int cmd_tasks_delete(session_t *session)
{
    status_t st;
    msg_exited_t exited;
    if (!options_text(session_options(session), "exec-id"))
        return session_each(session, 0, delete_task);
    if (session_operand(session, 1))
        return session_usage(session, "--exec-id goes with one container only");
    if (delete_one(session, session_operand(session, 0), &exited, &st))
        return session_fail(&st);
    return (int)(exited.exit_status & 0xff);
}
