/* The container record that the options of `run` and `containers create` describe. */
#include "client/container_options.h"

#include "client/arguments.h"
#include "client/oci/oci_spec.h"
#include "common/util.h"

#define RUNTIME_DEFAULT "io.containerd.runc.v2"

/* Options that shape a spec, and so have no say where --config brings a whole one. */
static const char *const spec_options[] = {
    "allow-new-privs",
    "annotation",
    "cap-add",
    "cap-drop",
    "cgroup",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "cwd",
    "device",
    "env",
    "env-file",
    "hostname",
    "memory-limit",
    "mount",
    "net-host",
    "overlay",
    "privileged",
    "read-only",
    "rlimit-nofile",
    "rootfs",
    "rootfs-propagation",
    "user",
    "with-ns",
};

/* Memory of the session ---------------------------------------------------------------------------
 */

static void *keep(session_t *session, const void *data, size_t size)
{
    void *memory = msgpack_zone_malloc(session_zone(session), size ? size : 1);
    if (!memory)
        abort();
    memcpy(memory, data, size);
    return memory;
}

static const char *keep_text(session_t *session, const char *text)
{
    return keep(session, text, strlen(text) + 1);
}

/* A path made absolute: the worker that reads it runs elsewhere. */
static const char *keep_path(session_t *session, const char *path)
{
    AUTO_FREE char *absolute = arguments_absolute(path);
    return keep_text(session, absolute);
}

/* The spec ----------------------------------------------------------------------------------------
 */

static status_code_t read_limits(const options_t *options, container_options_for_t purpose,
                                 oci_spec_options_t *spec, status_t *st)
{
    if (purpose == CONTAINER_OPTIONS_RUN)
        spec->cpu_shares = OCI_SPEC_CPU_SHARES_RUN;
    const char *memory = options_text(options, "memory-limit");
    if (memory && arguments_bytes("--memory-limit", memory, 0, INT64_MAX, &spec->memory_limit, st))
        return st->code;
    if (options_double(options, "cpus", &spec->cpus, st) ||
        options_u64(options, "cpu-shares", UINT64_MAX, &spec->cpu_shares, st) ||
        options_i64(options, "cpu-quota", -1, INT64_MAX, &spec->cpu_quota, st) ||
        options_u64(options, "cpu-period", UINT64_MAX, &spec->cpu_period, st))
        return st->code;
    spec->rlimit_nofile = options_text(options, "rlimit-nofile");
    spec->cpuset_cpus = options_text(options, "cpuset-cpus");
    spec->cpuset_mems = options_text(options, "cpuset-mems");
    return STATUS_OK;
}

static void read_process(const options_t *options, oci_spec_options_t *spec)
{
    spec->env = options_list(options, "env");
    spec->env_file = options_text(options, "env-file");
    spec->cwd = options_text(options, "cwd");
    spec->user = options_text(options, "user");
    spec->cap_add = options_list(options, "cap-add");
    spec->cap_drop = options_list(options, "cap-drop");
    spec->terminal = options_flag(options, "tty");
    spec->privileged = options_flag(options, "privileged");
    spec->allow_new_privs = options_flag(options, "allow-new-privs");
}

static void read_surroundings(const options_t *options, oci_spec_options_t *spec)
{
    spec->hostname = options_text(options, "hostname");
    spec->mounts = options_list(options, "mount");
    spec->annotations = options_list(options, "annotation");
    spec->labels = options_list(options, "label");
    spec->with_ns = options_list(options, "with-ns");
    spec->devices = options_list(options, "device");
    spec->cgroup = options_text(options, "cgroup");
    spec->rootfs_propagation = options_text(options, "rootfs-propagation");
    spec->rootfs_readonly = options_flag(options, "read-only");
    spec->net_host = options_flag(options, "net-host");
}

static json_t *make_spec(session_t *session, container_options_for_t purpose, const char *id,
                         char **operands, status_t *st)
{
    const options_t *options = session_options(session);
    oci_spec_options_t spec = OCI_SPEC_OPTIONS_INIT;
    spec.ns = session_ns(session);
    spec.id = id;
    AUTO_FREE char *cgroup = cluster_cgroup(session_cluster(session));
    spec.cgroup_parent = cgroup;
    spec.rootfs = operands[0];
    spec.args = operands + 2;
    read_process(options, &spec);
    read_surroundings(options, &spec);
    if (read_limits(options, purpose, &spec, st))
        return NULL;
    return oci_spec_new(&spec, st);
}

static json_t *load_spec(const options_t *options, const char *path, status_t *st)
{
    json_t *spec = NULL;
    if (oci_spec_load(path, &spec, st))
        return NULL;
    if (oci_spec_add_labels(spec, options_list(options, "label"), st)) {
        json_decref(spec);
        return NULL;
    }
    if (options_flag(options, "tty"))
        json_object_set_new(json_object_get(spec, "process"), "terminal", json_true());
    return spec;
}

/* The directory is shared and stays as it is; what a task writes goes to its own work directory. */
static void use_overlay(session_t *session, json_t *spec, msg_container_create_t *ask)
{
    json_t *root = json_object_get(spec, "root");
    AUTO_FREE char *dir =
        util_backslash(json_string_value(json_object_get(root, "path")), UTIL_OVERLAY_SPECIAL);
    AUTO_FREE char *lower = util_format("lowerdir=%s", dir);
    const char *options[] = {keep_text(session, lower), "upperdir=${work}/upper",
                             "workdir=${work}/work"};
    const msg_mount_t mount = {
        .type = "overlay",
        .source = "overlay",
        .options = {.items = keep(session, options, sizeof options), .count = ARRAY_SIZE(options)}};
    ask->rootfs.items = keep(session, &mount, sizeof mount);
    ask->rootfs.count = 1;
    json_object_set_new(root, "path", json_string("rootfs"));
}

static bool has_terminal(const json_t *spec)
{
    return json_is_true(json_object_get(json_object_get(spec, "process"), "terminal"));
}

bool container_options_terminal(const msg_bytes_t *spec)
{
    json_t *value = json_loadb((const char *)spec->data, spec->size, 0, NULL);
    bool terminal = has_terminal(value);
    json_decref(value);
    return terminal;
}

/* The record --------------------------------------------------------------------------------------
 */

/* NULL when the user asked for nothing: the shim worker has its own defaults. */
static const msg_runc_options_t *runc_options(session_t *session)
{
    const options_t *options = session_options(session);
    const char *binary = options_text(options, "runc-binary");
    const char *root = options_text(options, "runc-root");
    msg_runc_options_t runc = {.systemd_cgroup = options_flag(options, "runc-systemd-cgroup"),
                               .no_pivot_root = options_flag(options, "no-pivot")};
    if (!binary && !root && !runc.systemd_cgroup && !runc.no_pivot_root)
        return NULL;
    if (binary)
        runc.binary_name = strchr(binary, '/') ? keep_path(session, binary) : binary;
    if (root)
        runc.root = keep_path(session, root);
    return keep(session, &runc, sizeof runc);
}

static status_code_t read_record(session_t *session, const char *id, msg_container_create_t *ask,
                                 status_t *st)
{
    const options_t *options = session_options(session);
    const char *runtime = options_text(options, "runtime");
    char *const *labels = options_list(options, "label");
    size_t count = 0;
    while (labels && labels[count])
        count++;
    ask->id = id;
    ask->image = options_text(options, "image");
    ask->runtime = runtime ? runtime : RUNTIME_DEFAULT;
    ask->runc = runc_options(session);
    ask->on_shim_loss = options_text(options, "on-shim-loss");
    ask->restart = options_text(options, "restart");
    return arguments_labels(labels, count, "true", session_zone(session), &ask->labels, st);
}

int container_options_usage(session_t *session)
{
    const options_t *options = session_options(session);
    size_t count;
    session_operands(session, &count);
    if (options_text(options, "config")) {
        for (size_t i = 0; i < ARRAY_SIZE(spec_options); i++)
            if (options_given(options, spec_options[i]))
                return session_usage(session, "--%s and --config cannot be used together",
                                     spec_options[i]);
        if (count != 1)
            return session_usage(session, "with --config, the container's id and nothing else "
                                          "must be given");
        return 0;
    }
    if (!options_flag(options, "rootfs"))
        return session_usage(session, "images are not managed here: give --rootfs and a directory");
    if (count < 2)
        return session_usage(session, "a container id must be given");
    if (count < 3)
        return session_usage(session, "a command must be given");
    return 0;
}

status_code_t container_options_read(session_t *session, container_options_for_t purpose,
                                     container_options_t *ret, status_t *st)
{
    size_t count;
    char **operands = session_operands(session, &count);
    const options_t *options = session_options(session);
    const char *config = options_text(options, "config");
    *ret = (container_options_t){0};
    const char *id = operands[config ? 0 : 1];
    if (!msg_is_identifier(id, strlen(id)))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "container id \"%s\" is not an identifier: 1-76 letters and digits with "
                          "single . _ - between them",
                          id);
    json_t *spec =
        config ? load_spec(options, config, st) : make_spec(session, purpose, id, operands, st);
    if (!spec)
        return st->code;
    if (options_flag(options, "overlay"))
        use_overlay(session, spec, &ret->ask);
    AUTO_FREE char *text = json_dumps(spec, JSON_COMPACT);
    ret->terminal = has_terminal(spec);
    json_decref(spec);
    if (!text)
        abort();
    ret->ask.spec = (msg_bytes_t){.data = keep(session, text, strlen(text)), .size = strlen(text)};
    return read_record(session, id, &ret->ask, st);
}
