/* shimctl tasks update: other limits for a container that runs. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/oci/oci_file.h"
#include "client/oci/oci_resources.h"
#include "client/output.h"
#include "client/resources_check.h"
#include "common/util.h"

#define RESOURCES_MAX (1 << 20) /* bytes, as the wire has it */

static const char *const limit_options[] = {"memory", "cpus", "cpu-shares", "pids-limit"};

static status_code_t read_memory(const options_t *options, uint64_t *ret, status_t *st)
{
    const char *text = options_text(options, "memory");
    return text ? arguments_bytes("--memory", text, 1, INT64_MAX, ret, st) : STATUS_OK;
}

static json_t *from_options(const options_t *options, status_t *st)
{
    oci_spec_options_t limits = OCI_SPEC_OPTIONS_INIT;
    int64_t pids = 0;
    json_t *resources = json_object();
    if (read_memory(options, &limits.memory_limit, st) ||
        options_double(options, "cpus", &limits.cpus, st) ||
        options_u64(options, "cpu-shares", OCI_SPEC_CPU_SHARES_MAX, &limits.cpu_shares, st) ||
        options_i64(options, "pids-limit", -1, INT64_MAX, &pids, st) ||
        oci_resources_set(resources, &limits, st)) {
        json_decref(resources);
        return NULL;
    }
    if (options_given(options, "pids-limit"))
        json_object_set_new(resources, "pids", json_pack("{s:I}", "limit", (json_int_t)pids));
    return resources;
}

/* "-" is standard input. */
static json_t *from_file(const char *path, status_t *st)
{
    AUTO_FREE char *text = NULL;
    json_error_t error;
    const char *from = strcmp(path, "-") ? path : "/dev/stdin";
    if (oci_file_read("--resources", from, RESOURCES_MAX, &text, st))
        return NULL;
    json_t *resources = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!resources)
        status_set(st, STATUS_INVALID_ARGUMENT, "--resources %s: line %d: %s", path, error.line,
                   error.text);
    else if (resources_check(resources, st)) {
        status_wrap(st, "--resources %s", path);
        json_decref(resources);
        return NULL;
    }
    return resources;
}

static status_code_t send_update(session_t *session, const json_t *resources, status_t *st)
{
    const char *id = session_operand(session, 0);
    AUTO_FREE char *text = json_dumps(resources, JSON_COMPACT);
    if (!text)
        abort();
    const msg_task_update_t ask = {
        .id = id, .resources = {.data = (const uint8_t *)text, .size = strlen(text)}};
    if (session_call(session, MSG_task_update, &ask, NULL, st))
        return session_explain(st, "update", id);
    if (session_json(session))
        output_json(json_pack("{s:s, s:O}", "id", id, "resources", resources));
    return STATUS_OK;
}

int cmd_tasks_update(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    const options_t *options = session_options(session);
    const char *file = options_text(options, "resources");
    bool limits = false;
    for (size_t i = 0; i < ARRAY_SIZE(limit_options); i++)
        limits = limits || options_given(options, limit_options[i]);
    if (limits == (file != NULL))
        return session_usage(session, file ? "--resources goes with no other limit"
                                           : "a limit or --resources must be given");
    json_t *resources = file ? from_file(file, &st) : from_options(options, &st);
    if (resources)
        send_update(session, resources, &st);
    json_decref(resources);
    return st.code ? session_fail(&st) : 0;
}
