/* shimctl containers. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/container_options.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/fifos.h"
#include "common/util.h"
#include "workers/shim/runtime.h"

#include "common/proto/runc_options.pb-c.h"

#include <time.h>

#define RUNC_OPTIONS   "containerd.runc.v1.Options" /* the type's name */
#define PADDING        4
#define PAGE_LIMIT     1000  /* records asked for at a time */
#define KNOWN_MS       30000 /* that deleting waits to know what a task is */
#define KNOWN_PAUSE_MS 100

int cmd_containers_create(session_t *session)
{
    status_t st;
    msg_container_t answer;
    container_options_t made;
    int wrong = container_options_usage(session);
    if (wrong)
        return wrong;
    if (container_options_read(session, CONTAINER_OPTIONS_CREATE, &made, &st))
        return session_fail(&st);
    msg_container_create_t ask = made.ask;
    if (session_call(session, MSG_container_create, &ask, &answer, &st)) {
        session_explain(&st, "create container", ask.id);
        return session_fail(&st);
    }
    answer.spec = (msg_bytes_t){0};
    if (session_json(session))
        output_json(message_json(MSG_container, &answer));
    return 0;
}

/* Deleting --------------------------------------------------------------------------------------
 */

/* A task of a shim worker that has just started, whose shim does not answer: what it is, and
 * whether it may be deleted, is not known yet. */
static bool is_unknown(const msg_process_t *task)
{
    return task->phase && !strcmp(task->phase, "loading") && !strcmp(task->status, "UNKNOWN");
}

/* Waits until it is known, as long as a request may take. */
static status_code_t find_task(session_t *session, const char *id, msg_process_t *ret, status_t *st)
{
    int64_t timeout = session_timeout_ms(session);
    int64_t end = util_now_ms() + (timeout > 0 ? timeout : KNOWN_MS);
    while (!session_call(session, MSG_task_get, &(msg_task_get_t){.id = id}, ret, st) &&
           is_unknown(ret) && util_now_ms() < end)
        nanosleep(&(struct timespec){.tv_nsec = KNOWN_PAUSE_MS * 1000000L}, NULL);
    return st->code;
}

/* As ctr: a task that is over or was never started goes with its container, a running one stays. */
static status_code_t delete_task(session_t *session, const char *id, status_t *st)
{
    msg_process_t task;
    if (find_task(session, id, &task, st)) {
        if (st->code == STATUS_NOT_FOUND)
            status_clear(st);
        return st->code;
    }
    bool created = !strcmp(task.status, "CREATED");
    if (!created && strcmp(task.status, "STOPPED"))
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "delete container %s: its task is %s: kill it first", id, task.status);
    msg_task_delete_t ask = {.id = id, .force = created};
    session_call(session, MSG_task_delete, &ask, NULL, st);
    if (st->code == STATUS_NOT_FOUND)
        status_clear(st);
    if (!st->code) {
        fifos_remove(id, (const char *const[3]){task.stdin, task.stdout, task.stderr});
        session_sweep_fifos(session, id);
    }
    return st->code;
}

static status_code_t delete_one(session_t *session, const char *id, status_t *st)
{
    msg_container_delete_t ask = {.id = id};
    if (delete_task(session, id, st) || session_call(session, MSG_container_delete, &ask, NULL, st))
        return session_explain(st, "delete container", id);
    if (session_json(session))
        output_json(json_pack("{s:s}", "id", id));
    return STATUS_OK;
}

int cmd_containers_delete(session_t *session)
{
    return session_each(session, 0, delete_one);
}

/* Showing ---------------------------------------------------------------------------------------
 */

/* The record as it is on the wire, but with the spec readable. */
static json_t *wire_json(const msg_container_t *container)
{
    msg_container_t bare = *container;
    bare.spec = (msg_bytes_t){0};
    json_t *object = message_json(MSG_container, &bare);
    if (container->spec.data)
        json_object_set_new(object, "spec", message_json_text(&container->spec));
    return object;
}

/* As ctr prints a protobuf Any: without a value where that is empty. */
static json_t *any_json(const char *type, const uint8_t *data, size_t size)
{
    json_t *any = json_pack("{s:s}", "type_url", type);
    if (size)
        json_object_set_new(any, "value", message_json_base64(data, size));
    return any;
}

static json_t *runc_json(const msg_runc_options_t *from)
{
    Containerd__Runc__V1__Options options = CONTAINERD__RUNC__V1__OPTIONS__INIT;
    const struct {
        char **to;
        const char *from;
    } texts[] = {
        {&options.shim_cgroup, from->shim_cgroup},
        {&options.binary_name, from->binary_name},
        {&options.root, from->root},
        {&options.criu_image_path, from->criu_image_path},
        {&options.criu_work_path, from->criu_work_path},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i].to = (char *)(texts[i].from ? texts[i].from : "");
    options.no_pivot_root = from->no_pivot_root;
    options.no_new_keyring = from->no_new_keyring;
    options.io_uid = from->io_uid;
    options.io_gid = from->io_gid;
    options.systemd_cgroup = from->systemd_cgroup;
    size_t size = containerd__runc__v1__options__get_packed_size(&options);
    AUTO_FREE uint8_t *packed = zmalloc(size + 1);
    containerd__runc__v1__options__pack(&options, packed);
    return any_json(RUNC_OPTIONS, packed, size);
}

/* ctr records options, empty ones too, for every runc shim; null for others without any. */
static json_t *options_json(const msg_container_t *container)
{
    static const msg_runc_options_t none;
    if (container->options_type)
        return any_json(container->options_type, container->options.data, container->options.size);
    if (container->runc)
        return runc_json(container->runc);
    return runtime_is_runc(container->runtime) ? runc_json(&none) : json_null();
}

/* The names and the order of ctr, for scripts that read them; null where it has null. */
static json_t *ctr_json(const msg_container_t *container)
{
    char created[OUTPUT_TIME_SIZE], updated[OUTPUT_TIME_SIZE];
    output_rfc3339(container->created_at, created);
    output_rfc3339(container->updated_at, updated);
    json_t *labels = json_null();
    if (container->labels.count)
        labels = json_object();
    for (size_t i = 0; i < container->labels.count; i++)
        json_object_set_new(labels, container->labels.items[i].key,
                            json_string(container->labels.items[i].value));
    json_t *object = json_pack(
        "{s:s, s:o, s:s, s:{s:s, s:o}, s:s, s:s, s:s, s:s, s:n, s:o}", "ID", container->id,
        "Labels", labels, "Image", container->image ? container->image : "", "Runtime", "Name",
        container->runtime, "Options", options_json(container), "SnapshotKey", "", "Snapshotter",
        "", "CreatedAt", created, "UpdatedAt", updated, "Extensions", "Spec",
        message_json_text(&container->spec));
    if (container->restart)
        json_object_set_new(object, "Restart", message_json(MSG_restart, container->restart));
    return object;
}

int cmd_containers_info(session_t *session)
{
    status_t st;
    msg_container_t answer;
    msg_container_get_t ask = {.id = session_operand(session, 0)};
    if (session_call(session, MSG_container_get, &ask, &answer, &st)) {
        session_explain(&st, "container", ask.id);
        return session_fail(&st);
    }
    bool only_spec = options_flag(session_options(session), "spec");
    json_t *value = only_spec               ? message_json_text(&answer.spec)
                    : session_json(session) ? wire_json(&answer)
                                            : ctr_json(&answer);
    if (session_json(session))
        output_json(value);
    else
        output_json_indented(value);
    return 0;
}

static void list_one(session_t *session, table_t *table, const msg_container_t *container)
{
    bool quiet = options_flag(session_options(session), "quiet");
    if (session_json(session))
        output_json(quiet ? json_pack("{s:s}", "id", container->id)
                          : message_json(MSG_container, container));
    else if (quiet)
        puts(container->id);
    else
        table_add(table, "%s\t%s\t%s\t", container->id,
                  container->image && *container->image ? container->image : "-",
                  container->runtime);
}

int cmd_containers_list(session_t *session)
{
    status_t st;
    msg_container_list_t ask = {.limit = PAGE_LIMIT, .filters = session_filters(session)};
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "CONTAINER\tIMAGE\tRUNTIME\t");
    do {
        msg_containers_t page;
        if (session_call(session, MSG_container_list, &ask, &page, &st))
            return session_fail(&st);
        for (size_t i = 0; i < page.containers.count; i++)
            list_one(session, table, &page.containers.items[i]);
        ask.after = page.next;
    } while (ask.after);
    if (!options_flag(session_options(session), "quiet") && !session_json(session))
        table_print(table, stdout);
    return 0;
}

/* Updating --------------------------------------------------------------------------------------
 */

static status_code_t update_one(session_t *session, const char *id, status_t *st)
{
    msg_container_t answer;
    const msg_container_update_t ask = {
        .id = id, .restart = options_text(session_options(session), "restart")};
    if (session_call(session, MSG_container_update, &ask, &answer, st))
        return session_explain(st, "update container", id);
    answer.spec = (msg_bytes_t){0};
    if (session_json(session))
        output_json(message_json(MSG_container, &answer));
    else
        puts(id);
    return STATUS_OK;
}

int cmd_update(session_t *session)
{
    static const char *const limits[] = {"memory", "cpus", "cpu-shares", "pids-limit", "resources"};
    const options_t *options = session_options(session);
    size_t count;
    session_operands(session, &count);
    bool has_limit = false;
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        has_limit = has_limit || options_given(options, limits[i]);
    if (has_limit && options_given(options, "restart"))
        return session_usage(session, "--restart goes with no limit");
    if (!options_given(options, "restart"))
        return count > 1 ? session_usage(session, "limits are for one container at a time")
                         : cmd_tasks_update(session);
    return session_each(session, 0, update_one);
}

/* Labels ----------------------------------------------------------------------------------------
 */

static int compare_labels(const void *left, const void *right)
{
    return strcmp(((const msg_label_t *)left)->key, ((const msg_label_t *)right)->key);
}

int cmd_containers_label(session_t *session)
{
    status_t st;
    msg_container_t answer;
    size_t count;
    char **words = session_operands(session, &count);
    msg_container_update_t ask = {.id = words[0]};
    if (arguments_labels(words + 1, count - 1, "true", session_zone(session), &ask.labels, &st))
        return session_fail(&st);
    const msg_container_get_t look = {.id = ask.id};
    if (ask.labels.count ? session_call(session, MSG_container_update, &ask, &answer, &st)
                         : session_call(session, MSG_container_get, &look, &answer, &st)) {
        session_explain(&st, "label container", ask.id);
        return session_fail(&st);
    }
    answer.spec = (msg_bytes_t){0};
    if (session_json(session)) {
        output_json(message_json(MSG_container, &answer));
        return 0;
    }
    if (answer.labels.count)
        qsort(answer.labels.items, answer.labels.count, sizeof *answer.labels.items,
              compare_labels);
    for (size_t i = 0; i < answer.labels.count; i++)
        printf("%s%s=%s", i ? "," : "", answer.labels.items[i].key, answer.labels.items[i].value);
    putchar('\n');
    return 0;
}
