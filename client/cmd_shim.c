/* shimctl shim: one shim, asked directly. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/ttrpc_client.h"
#include "common/util.h"
#include "workers/shim/record.h"

#include "common/proto/task.pb-c.h"

#define CONNECT_MS 2000  /* while its backlog is full */
#define CALL_MS    10000 /* unless --timeout was given */

/* Prints what a method answered. */
typedef status_code_t shim_print_t(session_t *session, const uint8_t *payload, size_t size,
                                   status_t *st);

typedef struct shim_call {
    session_t *session;
    shim_print_t *print; /* NULL when there is nothing to print */
    status_t st;
} shim_call_t;

static int end_loop(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    (void)arg;
    return -1;
}

static void on_answer(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    shim_call_t *call = arg;
    call->st = *st;
    if (!st->code && call->print)
        call->print(call->session, payload, size, &call->st);
    zloop_timer(session_loop(call->session), 0, 1, end_loop, NULL);
}

/* Where the shim of `id` listens, from the container's bundle. */
static status_code_t find_shim(session_t *session, const char *id, endpoint_t *ret, status_t *st)
{
    if (!msg_is_identifier(id, strlen(id)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "container id \"%s\" is not an identifier",
                          id);
    AUTO_FREE char *bundle = session_bundle(session, id);
    if (record_read_endpoint(bundle, ret, st) == STATUS_NOT_FOUND)
        return status_set(st, STATUS_NOT_FOUND, "no shim is recorded in %s", bundle);
    return st->code;
}

static status_code_t call_shim(session_t *session, const char *id, const char *method,
                               const ProtobufCMessage *request, shim_print_t *print, status_t *st)
{
    endpoint_t shim;
    if (find_shim(session, id, &shim, st))
        return st->code;
    shim_call_t call = {.session = session, .print = print};
    io_set_t *io = io_set_new(session_loop(session));
    ttrpc_client_t *client = ttrpc_client_new(io, shim.address, CONNECT_MS, NULL, NULL, st);
    if (client) {
        int64_t limit = session_timeout_ms(session);
        ttrpc_client_call(
            client, shim.version == 3 ? "containerd.task.v3.Task" : "containerd.task.v2.Task",
            method, request, limit ? limit : CALL_MS, session_ns(session), on_answer, &call);
        zloop_start(session_loop(session));
        *st = call.st;
    }
    ttrpc_client_destroy(&client);
    io_set_destroy(&io);
    return st->code;
}

/* Runs a command; the request's `id` is set by the caller. */
static int run(session_t *session, const char *id, const char *method,
               const ProtobufCMessage *request, shim_print_t *print)
{
    status_t st = {.code = STATUS_OK};
    if (!id)
        return session_usage(session, "--id must be given");
    if (!call_shim(session, id, method, request, print, &st)) {
        if (!print && session_json(session))
            output_json(json_pack("{s:s}", "id", id));
        return 0;
    }
    AUTO_FREE char *what = util_format("shim %s", command_own_name(session_command(session)));
    session_explain(&st, what, id);
    return session_fail(&st);
}

static const char *id_of(session_t *session)
{
    return options_text(session_options(session), "id");
}

/* state -----------------------------------------------------------------------------------------
 */

static const char *status_text(int status)
{
    static const char *const names[] = {"UNKNOWN", "CREATED", "RUNNING",
                                        "STOPPED", "PAUSED",  "PAUSING"};
    return status > 0 && (size_t)status < ARRAY_SIZE(names) ? names[status] : names[0];
}

static int64_t nanoseconds(const Google__Protobuf__Timestamp *time)
{
    return time && time->seconds > 0 ? time->seconds * 1000000000 + time->nanos : 0;
}

/* What a shim says may be no UTF-8, of which JSON is made. */
static json_t *text_json(const char *text)
{
    json_t *value = json_string(text);
    return value ? value : message_json_base64(text, strlen(text));
}

static status_code_t print_state(session_t *session, const uint8_t *payload, size_t size,
                                 status_t *st)
{
    Containerd__Task__V2__StateResponse *state =
        containerd__task__v2__state_response__unpack(NULL, size, payload);
    if (!state)
        return status_set(st, STATUS_INTERNAL, "State: undecodable answer");
    json_t *object =
        json_pack("{s:o, s:o, s:I, s:s, s:o, s:o, s:o, s:b, s:I, s:I}", "id", text_json(state->id),
                  "bundle", text_json(state->bundle), "pid", (json_int_t)state->pid, "status",
                  status_text((int)state->status), "stdin", text_json(state->stdin), "stdout",
                  text_json(state->stdout), "stderr", text_json(state->stderr), "terminal",
                  state->terminal, "exit_status", (json_int_t)state->exit_status, "exited_at",
                  (json_int_t)nanoseconds(state->exited_at));
    containerd__task__v2__state_response__free_unpacked(state, NULL);
    if (session_json(session))
        output_json(object);
    else
        output_json_indented(object);
    return STATUS_OK;
}

int cmd_shim_state(session_t *session)
{
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    const char *id = id_of(session);
    request.id = id ? (char *)id : request.id;
    return run(session, id, "State", &request.base, print_state);
}

/* delete, shutdown ------------------------------------------------------------------------------
 */

static status_code_t print_deleted(session_t *session, const uint8_t *payload, size_t size,
                                   status_t *st)
{
    Containerd__Task__V2__DeleteResponse *deleted =
        containerd__task__v2__delete_response__unpack(NULL, size, payload);
    if (!deleted)
        return status_set(st, STATUS_INTERNAL, "Delete: undecodable answer");
    if (session_json(session))
        output_json(json_pack("{s:s, s:I, s:I, s:I}", "id", id_of(session), "pid",
                              (json_int_t)deleted->pid, "exit_status",
                              (json_int_t)deleted->exit_status, "exited_at",
                              (json_int_t)nanoseconds(deleted->exited_at)));
    else
        printf("container deleted and returned exit status %u\n", deleted->exit_status);
    containerd__task__v2__delete_response__free_unpacked(deleted, NULL);
    return STATUS_OK;
}

int cmd_shim_delete(session_t *session)
{
    Containerd__Task__V2__DeleteRequest request = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
    const char *id = id_of(session);
    request.id = id ? (char *)id : request.id;
    return run(session, id, "Delete", &request.base, print_deleted);
}

int cmd_shim_shutdown(session_t *session)
{
    Containerd__Task__V2__ShutdownRequest request = CONTAINERD__TASK__V2__SHUTDOWN_REQUEST__INIT;
    const char *id = id_of(session);
    request.id = id ? (char *)id : request.id;
    return run(session, id, "Shutdown", &request.base, NULL);
}
