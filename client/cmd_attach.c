/* shimctl tasks start, attach and exec: commands that follow a process. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/console.h"
#include "client/container_options.h"
#include "client/criu.h"
#include "client/launch.h"
#include "client/launch_words.h"
#include "client/oci/oci_process.h"
#include "common/util.h"

#define EXEC_ID_HEX 8 /* random characters of an exec id nobody chose */

int cmd_tasks_start(session_t *session)
{
    status_t st;
    msg_container_t container;
    const options_t *options = session_options(session);
    launch_options_t wanted = {.id = session_operand(session, 0),
                               .pid_file = options_text(options, "pid-file")};
    int wrong = launch_words_read(session, &wanted);
    if (wrong)
        return wrong;
    const msg_container_get_t ask = {.id = wanted.id};
    if (session_call(session, MSG_container_get, &ask, &container, &st)) {
        session_explain(&st, "start task", wanted.id);
        return session_fail(&st);
    }
    wanted.terminal = container_options_terminal(&container.spec);
    wanted.created_at = container.created_at;
    if (launch_words_find_logs(session, &wanted, &st))
        return session_fail(&st);
    const char *checkpoint = options_text(options, "checkpoint");
    if (checkpoint && criu_check(container.runtime, &st)) {
        session_explain(&st, "restore", wanted.id);
        return session_fail(&st);
    }
    AUTO_FREE char *absolute = checkpoint ? arguments_absolute(checkpoint) : NULL;
    wanted.checkpoint = absolute;
    return launch(session, &wanted);
}

/* Only fifos can be taken up. Without any there is still the exit to wait for. */
static status_code_t check_attachable(const msg_process_t *process, const char *id, status_t *st)
{
    if (log_uri_is_ours(process->stdout))
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "attach to %s: its output goes to its log: see shimctl logs -f %s", id,
                          id);
    if (process->stdout && strstr(process->stdout, "://"))
        return status_set(st, STATUS_FAILED_PRECONDITION, "attach to %s: its output goes to %s", id,
                          process->stdout);
    return STATUS_OK;
}

int cmd_tasks_attach(session_t *session)
{
    status_t st;
    msg_process_t process;
    launch_options_t wanted = {.id = session_operand(session, 0), .attach = &process};
    const msg_task_get_t ask = {.id = wanted.id};
    if (session_call(session, MSG_task_get, &ask, &process, &st)) {
        session_explain(&st, "attach to", wanted.id);
        return session_fail(&st);
    }
    if (check_attachable(&process, wanted.id, &st))
        return session_fail(&st);
    wanted.terminal = process.terminal;
    return launch(session, &wanted);
}

/* exec ------------------------------------------------------------------------------------------
 */

/* A container's terminal gets its size between create and start; an exec has none until it runs, so
 * that the runtime has to set the size. */
static void set_console_size(json_t *process)
{
    uint32_t width, height;
    if (console_size(&width, &height))
        json_object_set_new(process, "consoleSize",
                            json_pack("{s:i, s:i}", "height", (int)height, "width", (int)width));
}

/* The process object, made from the container's spec. The caller frees. */
static char *process_text(session_t *session, const msg_container_t *container, status_t *st)
{
    const options_t *options = session_options(session);
    size_t count;
    char **operands = session_operands(session, &count);
    const oci_process_options_t wanted = {.args = operands + 1,
                                          .env = options_list(options, "env"),
                                          .cwd = options_text(options, "cwd"),
                                          .user = options_text(options, "user"),
                                          .terminal = options_flag(options, "tty")};
    json_t *spec = json_loadb((const char *)container->spec.data, container->spec.size, 0, NULL);
    json_t *process = oci_process_new(spec, &wanted, st);
    if (process && wanted.terminal && !options_flag(options, "detach"))
        set_console_size(process);
    char *text = process ? json_dumps(process, JSON_COMPACT) : NULL;
    json_decref(spec);
    json_decref(process);
    return text;
}

static void make_exec_id(char text[UTIL_UUID_SIZE])
{
    char uuid[UTIL_UUID_SIZE];
    util_uuid(uuid);
    snprintf(text, UTIL_UUID_SIZE, "exec-%.*s", EXEC_ID_HEX, uuid);
}

int cmd_tasks_exec(session_t *session)
{
    status_t st;
    msg_container_t container;
    char made_id[UTIL_UUID_SIZE];
    const options_t *options = session_options(session);
    launch_options_t wanted = {.id = session_operand(session, 0),
                               .exec_id = options_text(options, "exec-id"),
                               .terminal = options_flag(options, "tty")};
    int wrong = launch_words_read(session, &wanted);
    if (wrong)
        return wrong;
    if (wanted.terminal && (wanted.null_io || wanted.log_uri))
        return session_usage(session, "--tty goes with neither --null-io nor --log-uri");
    if (options_milliseconds(options, "deadline", &wanted.deadline_ms, &st))
        return session_fail(&st);
    make_exec_id(made_id);
    wanted.exec_id = wanted.exec_id ? wanted.exec_id : made_id;
    const msg_container_get_t ask = {.id = wanted.id};
    if (session_call(session, MSG_container_get, &ask, &container, &st)) {
        session_explain(&st, "exec in", wanted.id);
        return session_fail(&st);
    }
    AUTO_FREE char *process = process_text(session, &container, &st);
    if (!process)
        return session_fail(&st);
    wanted.created_at = container.created_at;
    if (launch_words_find_logs(session, &wanted, &st))
        return session_fail(&st);
    wanted.process = (msg_bytes_t){.data = (const uint8_t *)process, .size = strlen(process)};
    return launch(session, &wanted);
}
