/* shimctl inspect: all that is known of a container. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"

static status_code_t inspect_one(session_t *session, const char *id, status_t *st)
{
    msg_container_t container;
    msg_process_t task;
    const msg_container_get_t ask = {.id = id};
    if (session_call(session, MSG_container_get, &ask, &container, st))
        return session_explain(st, "inspect", id);
    session_call(session, MSG_task_get, &(msg_task_get_t){.id = id}, &task, st);
    bool has_task = !st->code;
    if (st->code && st->code != STATUS_NOT_FOUND)
        return session_explain(st, "inspect", id);
    status_clear(st);
    json_t *spec = message_json_text(&container.spec);
    container.spec = (msg_bytes_t){0};
    json_t *whole =
        json_pack("{s:o, s:o, s:o}", "container", message_json(MSG_container, &container), "task",
                  has_task ? message_json(MSG_process, &task) : json_null(), "spec", spec);
    if (session_json(session))
        output_json(whole);
    else
        output_json_indented(whole);
    return STATUS_OK;
}

int cmd_inspect(session_t *session)
{
    return session_each(session, 0, inspect_one);
}
