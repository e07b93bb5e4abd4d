/* OCI runtime specs as `ctr run --rootfs` of containerd 1.6.20 makes them: what a container is. */
#include "client/oci/oci_spec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/oci/oci_file.h"
#include "client/oci/oci_json.h"
#include "client/oci/oci_linux.h"
#include "client/oci/oci_mount.h"
#include "client/oci/oci_process.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

/* Bytes of a host name (sethostname(2)), of an identifier, and of an annotation's key. */
#define HOSTNAME_SIZE_MAX       64
#define NAME_SIZE_MAX           76
#define ANNOTATION_KEY_SIZE_MAX 4096

/* Names become parts of the cgroup path; the cluster checks them again, to the letter. */
static status_code_t check_name(const char *what, const char *name, status_t *st)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (!name || !*name)
        return status_set(st, STATUS_INVALID_ARGUMENT, "no %s given", what);
    if (oci_text_check(what, name, NAME_SIZE_MAX, st))
        return st->code;
    if (name[strspn(name, allowed)] || name[0] == '.')
        return oci_text_refuse(st, what, name, "letters, digits and . _ - between them only");
    return STATUS_OK;
}

static json_t *root_new(const oci_spec_options_t *options, status_t *st)
{
    static const char what[] = "root filesystem";
    const char *rootfs = options->rootfs;
    if (!rootfs || !*rootfs) {
        status_set(st, STATUS_INVALID_ARGUMENT, "no %s given", what);
        return NULL;
    }
    /* The runtime refuses a root that is reached through a symbolic link. */
    AUTO_FREE char *path = realpath(rootfs, NULL);
    struct stat stat;
    if (!path || lstat(path, &stat)) {
        oci_text_refuse(st, what, rootfs, "%s", strerror(errno));
        return NULL;
    }
    if (!S_ISDIR(stat.st_mode)) {
        oci_text_refuse(st, what, rootfs, "%s", strerror(ENOTDIR));
        return NULL;
    }
    if (oci_text_check(what, path, OCI_TEXT_PATH_MAX, st))
        return NULL;
    json_t *root = oci_json_must(json_pack("{s:s}", "path", path));
    if (options->rootfs_readonly)
        oci_json_set(root, "readonly", json_true());
    return root;
}

static json_t *mounts_new(const oci_spec_options_t *options, status_t *st)
{
    json_auto_t *mounts = oci_mount_defaults(options->privileged);
    if (oci_text_check_list("--mount", options->mounts, OCI_MOUNT_SIZE_MAX, st))
        return NULL;
    for (size_t i = 0; options->mounts && options->mounts[i]; i++) {
        json_t *mount = oci_mount_parse(options->mounts[i], st);
        if (!mount)
            return NULL;
        oci_json_push(mounts, mount);
    }
    if (options->net_host) {
        oci_json_push(mounts, oci_mount_host_file("/etc/hosts"));
        oci_json_push(mounts, oci_mount_host_file("/etc/resolv.conf"));
    }
    return TAKE(mounts);
}

/* Adds KEY=VALUE to the annotations. `implied` is the value of a KEY alone; NULL refuses one. */
static status_code_t annotate(json_t *spec, const char *flag, const char *text, const char *implied,
                              status_t *st)
{
    size_t size = strcspn(text, "=");
    const char *value = text[size] ? text + size + 1 : implied;
    if (!value)
        return oci_text_refuse(st, flag, text, "must look like KEY=VALUE");
    if (size == 0)
        return oci_text_refuse(st, flag, text, "the key is empty");
    if (size > ANNOTATION_KEY_SIZE_MAX)
        return oci_text_refuse(st, flag, text, "the key is %zu bytes long, limit %d", size,
                               ANNOTATION_KEY_SIZE_MAX);

    json_t *annotations = json_object_get(spec, "annotations");
    if (!json_is_object(annotations)) {
        annotations = oci_json_must(json_object());
        oci_json_set(spec, "annotations", annotations);
    }
    AUTO_FREE char *key = util_strdup(text);
    key[size] = '\0';
    oci_json_set(annotations, key, json_string(value));
    return STATUS_OK;
}

static status_code_t annotate_all(json_t *spec, const char *flag, char *const *texts,
                                  const char *implied, status_t *st)
{
    if (oci_text_check_list(flag, texts, OCI_TEXT_SIZE_MAX, st))
        return st->code;
    for (size_t i = 0; texts && texts[i]; i++)
        if (annotate(spec, flag, texts[i], implied, st))
            return st->code;
    return STATUS_OK;
}

/* What is left once the big sections stand. */
static status_code_t finish(json_t *spec, const oci_spec_options_t *options, status_t *st)
{
    const char *hostname = options->hostname;
    if (hostname && *hostname) {
        if (oci_text_check("--hostname", hostname, HOSTNAME_SIZE_MAX, st))
            return st->code;
        oci_json_set(spec, "hostname", json_string(hostname));
    }
    if (annotate_all(spec, "--annotation", options->annotations, NULL, st) ||
        oci_spec_add_labels(spec, options->labels, st))
        return st->code;
    return oci_json_check_size("the spec", spec, OCI_SPEC_SIZE_MAX, st);
}

json_t *oci_spec_new(const oci_spec_options_t *options, status_t *st)
{
    if (check_name("namespace", options->ns, st) || check_name("container id", options->id, st))
        return NULL;
    json_auto_t *root = root_new(options, st);
    if (!root)
        return NULL;
    const char *path = json_string_value(json_object_get(root, "path"));
    json_auto_t *process = oci_process_init_new(options, path, st);
    json_auto_t *mounts = process ? mounts_new(options, st) : NULL;
    json_auto_t *section = mounts ? oci_linux_new(options, st) : NULL;
    if (!section)
        return NULL;

    json_auto_t *spec = oci_json_must(json_pack("{s:s, s:O, s:O, s:O, s:O}", "ociVersion",
                                                OCI_SPEC_VERSION, "process", process, "root", root,
                                                "mounts", mounts, "linux", section));
    return finish(spec, options, st) ? NULL : TAKE(spec);
}

/* The fields that every runtime needs; jansson words the complaint. */
static status_code_t check_loaded(json_t *spec, const char *path, status_t *st)
{
    json_t *args = NULL;
    const char *version;
    const char *cwd;
    const char *root;
    int terminal;
    json_error_t error;
    if (json_unpack_ex(spec, &error, 0, "{s:s, s:{s:o, s:s, s?b}, s:{s:s}}", "ociVersion", &version,
                       "process", "args", &args, "cwd", &cwd, "terminal", &terminal, "root", "path",
                       &root))
        return status_set(st, STATUS_INVALID_ARGUMENT, "--config %s: no OCI spec: %s", path,
                          error.text);
    size_t i;
    json_t *arg;
    bool texts = json_array_size(args) > 0;
    json_array_foreach(args, i, arg) texts &= json_is_string(arg);
    if (!texts)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--config %s: no OCI spec: process.args is no list of texts", path);
    return STATUS_OK;
}

status_code_t oci_spec_load(const char *path, json_t **ret, status_t *st)
{
    if (oci_text_check("--config", path, OCI_TEXT_PATH_MAX, st))
        return st->code;
    AUTO_FREE char *text = NULL;
    if (oci_file_read("--config", path, OCI_FILE_CONFIG_MAX, &text, st))
        return st->code;
    json_error_t error;
    json_auto_t *spec = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!spec)
        return status_set(st, STATUS_INVALID_ARGUMENT, "--config %s: not JSON: line %d: %s", path,
                          error.line, error.text);
    if (check_loaded(spec, path, st))
        return st->code;
    *ret = TAKE(spec);
    return STATUS_OK;
}

status_code_t oci_spec_add_labels(json_t *spec, char *const *labels, status_t *st)
{
    return annotate_all(spec, "--label", labels, "true", st);
}
