/* The process of a task that was started. */
#include "workers/shim/init_record.h"

#include "common/log.h"
#include "workers/shim/record.h"

#define NAME "init.json"

void init_record_write(const char *bundle, uint32_t pid, uint64_t start)
{
    status_t st;
    json_t *object = json_pack("{s:I, s:I}", "pid", (json_int_t)pid, "start", (json_int_t)start);
    if (record_write_json(bundle, NAME, object, &st))
        log_warn("%s: %s", bundle, st.text);
}

bool init_record_read(const char *bundle, uint32_t *pid, uint64_t *start)
{
    json_t *object = NULL;
    status_t st;
    if (record_read_json(bundle, NAME, &object, &st))
        return false;
    *pid = (uint32_t)json_integer_value(json_object_get(object, "pid"));
    *start = (uint64_t)json_integer_value(json_object_get(object, "start"));
    json_decref(object);
    return *pid && *start;
}
