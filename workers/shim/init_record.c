/* The init process of a task. */
#include "workers/shim/init_record.h"

#include "common/util.h"
#include "workers/shim/record.h"

#define NAME "init.json"

status_code_t init_record_write(const char *bundle, const init_record_t *record, status_t *st)
{
    char starter[2 * MSG_UUID_SIZE + 1];
    util_hex(record->starter.bytes, MSG_UUID_SIZE, starter);
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:s, s:b, s:s}", "pid", (json_int_t)record->pid, "start",
                  (json_int_t)record->start, "oom_kills", (json_int_t)record->oom_before,
                  "oom_file", record->oom_file, "started", record->has_started, "starter", starter);
    return record_write_json(bundle, NAME, object, st);
}

bool init_record_read(const char *bundle, init_record_t *ret)
{
    json_t *object = NULL;
    status_t st;
    if (record_read_json(bundle, NAME, &object, &st))
        return false;
    *ret = (init_record_t){.pid = (uint32_t)json_integer_value(json_object_get(object, "pid")),
                           .start = (uint64_t)json_integer_value(json_object_get(object, "start")),
                           .oom_before =
                               (uint32_t)json_integer_value(json_object_get(object, "oom_kills")),
                           .has_started = json_is_true(json_object_get(object, "started"))};
    (void)record_parse_id(object, "starter", &ret->starter); /* zero when there is none */
    const char *file = json_string_value(json_object_get(object, "oom_file"));
    snprintf(ret->oom_file, sizeof ret->oom_file, "%s", file ? file : "");
    json_decref(object);
    return ret->pid && ret->start;
}
