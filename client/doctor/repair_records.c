/* What a bundle says of its task, written anew from what the shim worker, the container's record
 * and the shim's process say: a worker that starts believes nothing else. */
#include "client/doctor/repair.h"

#include "common/proc.h"
#include "common/proc_socket.h"
#include "workers/bundle/bundle_create.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_store.h"
#include "workers/shim/init_record.h"
#include "workers/shim/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FILE_MODE    0644
#define UNIX_PREFIX  "unix://"
#define HIDDEN_NAME  ".doctor.new"
#define SPEC_MAX     (4 << 20)
#define TASK_VERSION 3 /* the shim worker goes down to 2 where a shim does not know it */

typedef struct rewrite {
    repair_t *repair;
    finding_t *finding;
    msgpack_zone *zone;
    msg_process_t task;
    msg_container_t record; /* `id` is NULL without one */
    char *path;             /* the bundle */
    bool has_shim;
    bool was_missing; /* all of it */
} rewrite_t;

static bool is_alive(const msg_process_t *task)
{
    return task->pid && proc_start_time((pid_t)task->pid) && strcmp(task->status, "STOPPED");
}

/* The task as the worker and the journal agree about it. */
static status_code_t begin(rewrite_t *self, status_t *st)
{
    const finding_t *finding = self->finding;
    asker_t *asker = self->repair->asker;
    const msg_container_get_t get = {.id = finding->id};
    msg_incarnations_t runs;
    status_t ignored;
    if (!repair_find_task(self->repair, finding, self->zone, &self->task) || self->task.phase)
        return status_set(st, STATUS_ABORTED, "the task is gone or at work meanwhile");
    if (asker_call(asker, MSG_container_get, &get, finding->ns, self->zone, &self->record,
                   &ignored))
        self->record = (msg_container_t){.id = NULL};
    if (asker_call(asker, MSG_incarnation_list, &(msg_incarnation_list_t){0}, NULL, self->zone,
                   &runs, st))
        return st->code;
    for (size_t i = 0; i < runs.incarnations.count; i++) {
        const msg_incarnation_t *run = &runs.incarnations.items[i];
        if (!strcmp(run->ns, finding->ns) && !strcmp(run->id, finding->id) &&
            strcasecmp(run->incarnation, self->task.incarnation ? self->task.incarnation : ""))
            return status_set(st, STATUS_FAILED_PRECONDITION,
                              "shim worker and journal do not agree which run it is");
    }
    self->has_shim = self->task.shim_pid && !self->task.orphaned;
    return self->task.incarnation
               ? STATUS_OK
               : status_set(st, STATUS_DATA_LOSS, "nobody knows which run it is");
}

/* files ------------------------------------------------------------------------------------------
 */

static status_code_t write_file(int dir, const char *name, const void *data, size_t size,
                                status_t *st)
{
    (void)unlinkat(dir, HIDDEN_NAME, 0);
    if (bundle_dir_write(dir, HIDDEN_NAME, FILE_MODE, data, size) ||
        renameat(dir, HIDDEN_NAME, dir, name))
        return status_errno(st, errno, "write %s", name);
    return STATUS_OK;
}

static status_code_t make_bundle(rewrite_t *self, status_t *st)
{
    const cluster_t *cluster = self->repair->cluster;
    const msg_bytes_t *spec = &self->record.spec;
    struct stat info;
    bool has_left_over;
    if (!lstat(self->path, &info))
        return STATUS_OK;
    if (!self->record.id)
        return status_set(st, STATUS_DATA_LOSS, "its container has no record either");
    bundle_store_t *store = bundle_store_new(cluster->run_dir, cluster->root_dir, st);
    if (store)
        bundle_create_run(store, self->task.ns, self->task.id, self->task.incarnation, spec->data,
                          spec->size, &has_left_over, st);
    bundle_store_destroy(&store);
    self->was_missing = true;
    return st->code;
}

/* The files that runc's shims write themselves, and need for their `delete` verb. */
static status_code_t write_shims_files(rewrite_t *self, int dir, status_t *st)
{
    if (!self->was_missing || !runtime_is_runc(self->task.runtime ? self->task.runtime : ""))
        return STATUS_OK;
    const msg_runc_options_t *runc = self->record.runc;
    AUTO_FREE char *root = util_format("%s/runc", self->repair->cluster->run_dir);
    AUTO_FREE char *pid = util_format("%u", self->task.pid);
    const char *binary = runc && runc->binary_name ? runc->binary_name : "";
    json_t *options =
        json_pack("{s:s, s:s, s:b}", "root", runc && runc->root ? runc->root : root, "binary_name",
                  binary, "systemd_cgroup", runc && runc->systemd_cgroup);
    if (record_write_json(self->path, "options.json", options, st) ||
        write_file(dir, "runtime", binary, strlen(binary), st))
        return st->code;
    return write_file(dir, "init.pid", pid, strlen(pid), st);
}

static status_code_t write_basics(rewrite_t *self, int dir, const seen_bundle_t *has, status_t *st)
{
    const msg_bytes_t *spec = &self->record.spec;
    const cluster_t *cluster = self->repair->cluster;
    AUTO_FREE char *line = util_format("%s\n", self->task.incarnation);
    AUTO_FREE char *work =
        util_format("%s/task/%s/%s", cluster->root_dir, self->task.ns, self->task.id);
    if (!has->has_work && symlinkat(work, dir, BUNDLE_STORE_WORK))
        return status_errno(st, errno, "make the link " BUNDLE_STORE_WORK);
    if (strcasecmp(has->incarnation, self->task.incarnation) &&
        write_file(dir, BUNDLE_STORE_INCARNATION, line, strlen(line), st))
        return st->code;
    if (has->has_config)
        return STATUS_OK;
    if (!self->record.id)
        return status_set(st, STATUS_DATA_LOSS, "its container has no record with the spec");
    return write_file(dir, BUNDLE_STORE_CONFIG, spec->data, spec->size, st);
}

/* shim -------------------------------------------------------------------------------------------
 */

static const char *group_in(json_t *spec)
{
    static const char *const names[] = {"io.containerd.runc.v2.group",
                                        "io.kubernetes.cri.sandbox-id"};
    const json_t *annotations = json_object_get(spec, "annotations");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *group = json_string_value(json_object_get(annotations, names[i]));
        if (group && *group)
            return group;
    }
    return NULL;
}

static void find_group(const rewrite_t *self, char *group, size_t size)
{
    AUTO_FREE char *config = util_format("%s/" BUNDLE_STORE_CONFIG, self->path);
    json_error_t ignored;
    json_t *spec = json_load_file(config, JSON_DECODE_INT_AS_REAL, &ignored);
    const char *named = group_in(spec);
    snprintf(group, size, "%s", named ? named : self->task.id);
    json_decref(spec);
}

/* Where the shim really listens, of the places where it may. */
static status_code_t find_address(rewrite_t *self, const seen_bundle_t *has, intent_t *intent,
                                  status_t *st)
{
    char computed[256];
    AUTO_FREE char *client = cluster_socket_path(self->repair->cluster, CLUSTER_CLIENT);
    record_socket_address(client, self->task.ns, intent->group, computed, sizeof computed);
    const char *places[] = {has->endpoint.address, has->intent.address, computed};
    if (!self->has_shim) {
        snprintf(intent->address, sizeof intent->address, "%s", computed);
        return STATUS_OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (!places[i][0] || proc_find_listener(places[i]) != (pid_t)self->task.shim_pid)
            continue;
        snprintf(intent->address, sizeof intent->address, "%s", places[i]);
        return STATUS_OK;
    }
    return status_set(st, STATUS_NOT_FOUND, "where its shim, process %u, listens is not known",
                      self->task.shim_pid);
}

/* The executable of the shim that runs, or what the runtime's name means. */
static status_code_t find_executable(const rewrite_t *self, intent_t *intent, status_t *st)
{
    AUTO_FREE char *link = util_format("/proc/%u/exe", self->task.shim_pid);
    const char *runtime = self->task.runtime ? self->task.runtime : self->record.runtime;
    snprintf(intent->runtime, sizeof intent->runtime, "%s", runtime ? runtime : "");
    ssize_t size = self->has_shim ? readlink(link, intent->path, sizeof intent->path - 1) : -1;
    if (size > 0) {
        intent->path[size] = '\0';
        if (!access(intent->path, X_OK))
            return STATUS_OK;
    }
    return runtime_find(intent->runtime, intent->path, st);
}

static status_code_t write_intent(rewrite_t *self, const seen_bundle_t *has, intent_t *intent,
                                  status_t *st)
{
    if (has->has_intent) {
        *intent = has->intent;
        return find_address(self, has, intent, st);
    }
    const char *loss = self->record.on_shim_loss;
    find_group(self, intent->group, sizeof intent->group);
    intent->on_shim_loss = loss && !strcmp(loss, "kill") ? SHIM_LOSS_KILL : SHIM_LOSS_KEEP;
    if (self->finding->has_request)
        intent->request = self->finding->request;
    if (find_address(self, has, intent, st) || find_executable(self, intent, st))
        return st->code;
    return record_write_intent(self->path, intent, st);
}

static status_code_t write_endpoint(rewrite_t *self, const seen_bundle_t *has,
                                    const intent_t *intent, status_t *st)
{
    endpoint_t endpoint = {.version = has->has_endpoint ? has->endpoint.version : TASK_VERSION,
                           .shim_pid = self->task.shim_pid,
                           .shim_start = proc_start_time((pid_t)self->task.shim_pid)};
    if (!self->has_shim || (has->has_endpoint && has->endpoint.shim_pid == self->task.shim_pid))
        return STATUS_OK;
    snprintf(endpoint.address, sizeof endpoint.address, "%s", intent->address);
    return record_write_endpoint(self->path, intent, &endpoint, st);
}

/* ------------------------------------------------------------------------------------------------
 */

static status_code_t write_all(rewrite_t *self, status_t *st)
{
    intent_t *intent = zmalloc(sizeof *intent);
    seen_t seen = {.path = self->path};
    seen_bundle_read(&seen);
    AUTO_FREE seen_bundle_t *has = seen.bundle;
    AUTO_CLOSE int dir = open(self->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        status_errno(st, errno, "open %s", self->path);
    else if (!write_basics(self, dir, has, st) && !write_shims_files(self, dir, st) &&
             !write_intent(self, has, intent, st))
        write_endpoint(self, has, intent, st);
    if (!st->code && is_alive(&self->task) && has->init_pid != self->task.pid)
        init_record_write(
            self->path,
            &(init_record_t){.pid = self->task.pid,
                             .start = proc_start_time((pid_t)self->task.pid),
                             .has_started = strcmp(self->task.status, "CREATED") != 0},
            st);
    free(intent);
    return st->code;
}

void repair_bundle(repair_t *self, finding_t *finding)
{
    rewrite_t rewrite = {.repair = self, .finding = finding};
    status_t st = {.code = STATUS_OK};
    rewrite.zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    rewrite.path = util_format("%s/" BUNDLE_STORE_TASK "/%s/%s", self->cluster->run_dir,
                               finding->ns, finding->id);
    if (!rewrite.zone)
        abort();
    if (begin(&rewrite, &st) || make_bundle(&rewrite, &st) || write_all(&rewrite, &st))
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else
        finding_set(finding, FINDING_MENDED, "written anew");
    free(rewrite.path);
    msgpack_zone_free(rewrite.zone);
}

/* The text of a regular file; the caller frees. NULL with a status. */
static uint8_t *read_spec(const char *path, size_t *size, status_t *st)
{
    struct stat info;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        status_errno(st, errno, "open %s", path);
        return NULL;
    }
    if (!S_ISREG(info.st_mode) || info.st_size > SPEC_MAX) {
        status_set(st, STATUS_DATA_LOSS, "%s: no file of at most %d bytes", path, SPEC_MAX);
        return NULL;
    }
    uint8_t *text = zmalloc((size_t)info.st_size + 1);
    ssize_t got = read(fd, text, (size_t)info.st_size);
    *size = got > 0 ? (size_t)got : 0;
    return text;
}

static status_code_t create_record(repair_t *self, finding_t *finding, msgpack_zone *zone,
                                   status_t *st)
{
    msg_process_t task;
    size_t size;
    AUTO_FREE char *path = util_format("%s/" BUNDLE_STORE_TASK "/%s/%s/" BUNDLE_STORE_CONFIG,
                                       self->cluster->run_dir, finding->ns, finding->id);
    AUTO_FREE uint8_t *spec = read_spec(path, &size, st);
    if (!spec)
        return st->code;
    if (!repair_find_task(self, finding, zone, &task))
        return status_set(st, STATUS_ABORTED, "the task is gone meanwhile");
    const msg_container_create_t ask = {
        .id = finding->id, .runtime = task.runtime, .spec = {.data = spec, .size = size}};
    asker_call(self->asker, MSG_container_create, &ask, finding->ns, NULL, NULL, st);
    return st->code == STATUS_ALREADY_EXISTS ? STATUS_OK : st->code;
}

/* The spec that the task was made from is the best there is of its container's. */
void repair_record(repair_t *self, finding_t *finding)
{
    status_t st = {.code = STATUS_OK};
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone)
        abort();
    if (create_record(self, finding, zone, &st))
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else
        finding_set(finding, FINDING_MENDED, "recorded anew, without its labels");
    msgpack_zone_free(zone);
}
