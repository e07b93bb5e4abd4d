/* The process object of a spec: the container's own command, and those executed in it later. */
#include "client/oci/oci_process.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "client/oci/oci_caps.h"
#include "client/oci/oci_env.h"
#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"
#include "client/oci/oci_user.h"
#include "common/util.h"

/* containerd's RLIMIT_NOFILE, soft and hard. */
#define NOFILE_DEFAULT 1024

static status_code_t set_args(json_t *process, char *const *args, status_t *st)
{
    if (!args || !args[0])
        return status_set(st, STATUS_INVALID_ARGUMENT, "no command given");
    if (!*args[0])
        return status_set(st, STATUS_INVALID_ARGUMENT, "the command is empty");
    json_auto_t *array = oci_json_must(json_array());
    for (size_t i = 0; args[i]; i++) {
        if (i >= OCI_PROCESS_ARGS_MAX)
            return status_set(st, STATUS_INVALID_ARGUMENT, "more than %d command arguments",
                              OCI_PROCESS_ARGS_MAX);
        if (oci_text_check("command argument", args[i], OCI_TEXT_SIZE_MAX, st))
            return st->code;
        oci_json_push(array, json_string(args[i]));
    }
    oci_json_set(process, "args", json_incref(array));
    return STATUS_OK;
}

static status_code_t set_cwd(json_t *process, const char *cwd, status_t *st)
{
    if (!cwd || !*cwd)
        return STATUS_OK;
    if (oci_text_check_path("--cwd", cwd, st))
        return st->code;
    oci_json_set(process, "cwd", json_string(cwd));
    return STATUS_OK;
}

static status_code_t set_user(json_t *process, const char *root, const char *user, status_t *st)
{
    if (!user || !*user)
        return STATUS_OK;
    json_t *object = oci_user_new(root, user, st);
    if (!object)
        return st->code;
    oci_json_set(process, "user", object);
    return STATUS_OK;
}

static void set_terminal(json_t *process, bool terminal)
{
    if (terminal)
        oci_json_set(process, "terminal", json_true());
    else
        json_object_del(process, "terminal");
}

json_t *oci_process_new(const json_t *spec, const oci_process_options_t *options, status_t *st)
{
    const json_t *model = json_object_get(spec, "process");
    if (!json_is_object(model)) {
        status_set(st, STATUS_FAILED_PRECONDITION, "the container's spec has no process");
        return NULL;
    }
    json_auto_t *process = oci_json_must(json_deep_copy(model));
    json_auto_t *env = json_incref(json_object_get(process, "env"));
    if (!env)
        env = oci_json_must(json_array());
    if (!json_is_array(env)) {
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "process.env in the container's spec is no array");
        return NULL;
    }
    const char *root = json_string_value(json_object_get(json_object_get(spec, "root"), "path"));

    set_terminal(process, options->terminal);
    if (set_args(process, options->args, st) || oci_env_set(env, options->env, st) ||
        set_cwd(process, options->cwd, st) || set_user(process, root, options->user, st))
        return NULL;
    json_object_del(process, "env");
    oci_json_set_filled(process, "env", json_incref(env));
    if (oci_json_check_size("the process", process, OCI_SPEC_SIZE_MAX, st))
        return NULL;
    return TAKE(process);
}

static status_code_t set_env(json_t *process, const oci_spec_options_t *options, status_t *st)
{
    json_auto_t *env = oci_json_must(json_array());
    if (options->env_file && oci_env_set_file(env, options->env_file, st))
        return st->code;
    if (oci_env_set(env, options->env, st))
        return st->code;
    if (options->terminal)
        oci_env_set_default(env, "TERM", "xterm");
    if (options->net_host) {
        char hostname[256];
        if (gethostname(hostname, sizeof hostname))
            return status_errno(st, errno, "--net-host: gethostname");
        if (oci_text_check("--net-host: host name", hostname, sizeof hostname, st))
            return st->code;
        oci_env_set_default(env, "HOSTNAME", hostname);
    }
    oci_json_set_filled(process, "env", json_incref(env));
    return STATUS_OK;
}

static status_code_t set_rlimits(json_t *process, const char *nofile, status_t *st)
{
    uint64_t soft = NOFILE_DEFAULT;
    uint64_t hard = NOFILE_DEFAULT;
    if (nofile) {
        AUTO_FREE char *copy = util_strdup(nofile);
        char *rest = copy;
        const char *first = strsep(&rest, ":");
        const char *last = rest ? rest : first;
        if (oci_text_to_number(first, OCI_SPEC_NOFILE_MAX, &soft) ||
            oci_text_to_number(last, OCI_SPEC_NOFILE_MAX, &hard) || soft > hard)
            return oci_text_refuse(st, "--rlimit-nofile", nofile,
                                   "must look like SOFT or SOFT:HARD, not above %d, and SOFT not "
                                   "above HARD",
                                   OCI_SPEC_NOFILE_MAX);
    }
    oci_json_set(process, "rlimits",
                 json_pack("[{s:s, s:I, s:I}]", "type", "RLIMIT_NOFILE", "hard", (json_int_t)hard,
                           "soft", (json_int_t)soft));
    return STATUS_OK;
}

json_t *oci_process_init_new(const oci_spec_options_t *options, const char *root, status_t *st)
{
    json_auto_t *process =
        oci_json_must(json_pack("{s:{s:i, s:i}, s:s}", "user", "uid", 0, "gid", 0, "cwd", "/"));
    set_terminal(process, options->terminal);
    if (set_args(process, options->args, st) || set_env(process, options, st) ||
        set_cwd(process, options->cwd, st) || set_user(process, root, options->user, st) ||
        set_rlimits(process, options->rlimit_nofile, st))
        return NULL;
    json_t *caps = oci_caps_new(options->privileged, options->cap_add, options->cap_drop, st);
    if (!caps)
        return NULL;
    oci_json_set(process, "capabilities", caps);
    if (!options->allow_new_privs)
        oci_json_set(process, "noNewPrivileges", json_true());
    return TAKE(process);
}
