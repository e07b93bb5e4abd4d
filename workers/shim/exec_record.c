/* Records of execs. */
#include "workers/shim/exec_record.h"

#include "common/log.h"
#include "workers/shim/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>

#define PREFIX "exec-"
#define SUFFIX ".json"

static void name_of(const char *exec_id, char name[NAME_MAX])
{
    snprintf(name, NAME_MAX, PREFIX "%s" SUFFIX, exec_id);
}

status_code_t exec_record_write(const char *bundle, const process_t *process, status_t *st)
{
    char name[NAME_MAX], request[2 * MSG_UUID_SIZE + 1], starter[2 * MSG_UUID_SIZE + 1];
    name_of(process->exec_id, name);
    util_hex(process->request.bytes, MSG_UUID_SIZE, request);
    util_hex(process->starter.bytes, MSG_UUID_SIZE, starter);
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "request", request, "starter", starter,
        "sent_at", (json_int_t)process->sent_at, "pid", (json_int_t)process->pid, "start",
        (json_int_t)process->start, "deadline_ms", (json_int_t)process->deadline.allowed_ms,
        "deadline_at", (json_int_t)process->deadline.at, "expired", process->deadline.is_over);
    return record_write_json(bundle, name, object, st);
}

void exec_record_remove(const char *bundle, const char *exec_id)
{
    char name[NAME_MAX];
    name_of(exec_id, name);
    record_remove(bundle, name);
}

static void load_one(task_t *task, const char *name)
{
    char exec_id[NAME_MAX] = "";
    size_t size = strlen(name) - strlen(PREFIX) - strlen(SUFFIX);
    memcpy(exec_id, name + strlen(PREFIX), size);
    json_t *object = NULL;
    status_t st = {.code = STATUS_OK};
    msg_uuid_t request, starter = {.bytes = {0}};
    bool is_whole = msg_is_identifier(exec_id, size) &&
                    !record_read_json(task->bundle, name, &object, &st) &&
                    record_parse_request(object, &request);
    (void)record_parse_id(object, "starter", &starter); /* zero when there is none */
    json_int_t pid = json_integer_value(json_object_get(object, "pid"));
    json_int_t start = json_integer_value(json_object_get(object, "start"));
    json_int_t sent_at = json_integer_value(json_object_get(object, "sent_at"));
    const exec_deadline_t deadline = {
        .allowed_ms = json_integer_value(json_object_get(object, "deadline_ms")),
        .at = json_integer_value(json_object_get(object, "deadline_at")),
        .is_over = json_is_true(json_object_get(object, "expired")),
    };
    json_decref(object);
    if (!is_whole) {
        log_warn("%s: %s is damaged and removed%s%s", task->key, name, st.code ? ": " : "",
                 st.code ? st.text : "");
        record_remove(task->bundle, name);
        return;
    }
    process_t *process = task_add_exec(task, exec_id);
    process->request = request;
    process->starter = starter;
    process->sent_at = sent_at;
    process->is_adopted = process->is_inherited = true;
    process->deadline.allowed_ms = deadline.allowed_ms;
    process->deadline.at = deadline.at;
    process->deadline.is_over = deadline.is_over;
    process->pid = (uint32_t)pid;
    process->start = (uint64_t)start;
}

void exec_record_load(task_t *task)
{
    DIR *stream = opendir(task->bundle);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        size_t size = strlen(entry->d_name);
        if (size > strlen(PREFIX) + strlen(SUFFIX) &&
            !strncmp(entry->d_name, PREFIX, strlen(PREFIX)) &&
            !strcmp(entry->d_name + size - strlen(SUFFIX), SUFFIX))
            load_one(task, entry->d_name);
    }
    if (stream)
        closedir(stream);
}
