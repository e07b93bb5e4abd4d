/* The `linux` section of a spec: namespaces, cgroups, devices, hidden paths. */
#include "client/oci/oci_linux.h"

#include <string.h>

#include "client/oci/oci_device.h"
#include "client/oci/oci_json.h"
#include "client/oci/oci_resources.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

#define NETWORK "network"

/* What containerd hides or protects from an unprivileged container. */
static const char *const masked_paths[] = {
    "/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/sys/firmware",       "/proc/scsi",
};

static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static const char *const default_namespaces[] = {"pid", "ipc", "uts", "mount", NETWORK};
static const char *const more_namespaces[] = {"user", "cgroup"};

static bool contains(const char *const *texts, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(texts[i], text))
            return true;
    return false;
}

/* Replaces the namespace of that type where it is, or appends it. */
static void join_namespace(json_t *namespaces, const char *type, const char *path)
{
    json_t *joined = oci_json_must(json_pack("{s:s, s:s}", "type", type, "path", path));
    size_t i;
    json_t *namespace;
    json_array_foreach(namespaces, i, namespace)
    {
        if (strcmp(json_string_value(json_object_get(namespace, "type")), type))
            continue;
        json_array_set_new(namespaces, i, joined);
        return;
    }
    oci_json_push(namespaces, joined);
}

static status_code_t add_with_ns(json_t *namespaces, const char *text, status_t *st)
{
    static const char flag[] = "--with-ns";
    const char *colon = strchr(text, ':');
    if (!colon)
        return oci_text_refuse(st, flag, text, "must look like TYPE:PATH");
    AUTO_FREE char *type = util_strdup(text);
    type[colon - text] = '\0';
    if (!contains(default_namespaces, ARRAY_SIZE(default_namespaces), type) &&
        !contains(more_namespaces, ARRAY_SIZE(more_namespaces), type))
        return oci_text_refuse(st, flag, text,
                               "types are pid, ipc, uts, mount, network, user and cgroup");
    if (colon[1] != '/')
        return oci_text_refuse(st, flag, text, "the path is not absolute");
    if (strlen(colon + 1) > OCI_TEXT_PATH_MAX)
        return oci_text_refuse(st, flag, text, "the path is longer than %d bytes",
                               OCI_TEXT_PATH_MAX);
    join_namespace(namespaces, type, colon + 1);
    return STATUS_OK;
}

static json_t *namespaces_new(const oci_spec_options_t *options, status_t *st)
{
    json_auto_t *namespaces = oci_json_must(json_array());
    for (size_t i = 0; i < ARRAY_SIZE(default_namespaces); i++)
        if (!options->net_host || strcmp(default_namespaces[i], NETWORK))
            oci_json_push(namespaces, json_pack("{s:s}", "type", default_namespaces[i]));
    if (oci_text_check_list("--with-ns", options->with_ns, OCI_TEXT_SIZE_MAX, st))
        return NULL;
    for (size_t i = 0; options->with_ns && options->with_ns[i]; i++)
        if (add_with_ns(namespaces, options->with_ns[i], st))
            return NULL;
    return TAKE(namespaces);
}

static status_code_t set_cgroup(json_t *section, const oci_spec_options_t *options, status_t *st)
{
    const char *cgroup = options->cgroup;
    if (!cgroup) {
        oci_json_set(section, "cgroupsPath",
                     json_sprintf("%s/%s/%s", options->cgroup_parent ? options->cgroup_parent : "",
                                  options->ns, options->id));
        return STATUS_OK;
    }
    if (oci_text_check("--cgroup", cgroup, OCI_TEXT_PATH_MAX, st))
        return st->code;
    AUTO_FREE char *copy = util_strdup(cgroup);
    for (char *rest = copy; rest;)
        if (!strcmp(strsep(&rest, "/"), ".."))
            return oci_text_refuse(st, "--cgroup", cgroup, "must not have '..' in it");
    if (*cgroup)
        oci_json_set(section, "cgroupsPath", json_string(cgroup));
    return STATUS_OK;
}

static status_code_t set_resources(json_t *section, const oci_spec_options_t *options, status_t *st)
{
    json_auto_t *devices = oci_json_must(json_array());
    json_t *rules = oci_device_default_rules(options->privileged);
    oci_json_set(section, "resources", json_pack("{s:o}", "devices", rules));
    if (oci_text_check_list("--device", options->devices, OCI_TEXT_PATH_MAX, st))
        return st->code;
    if (options->privileged && oci_device_add("--privileged", "/dev", devices, NULL, st))
        return st->code;
    for (size_t i = 0; options->devices && options->devices[i]; i++)
        if (oci_device_add("--device", options->devices[i], devices, rules, st))
            return st->code;
    oci_json_set_filled(section, "devices", json_incref(devices));
    return oci_resources_set(json_object_get(section, "resources"), options, st);
}

static status_code_t set_propagation(json_t *section, const char *propagation, status_t *st)
{
    static const char *const kinds[] = {"shared",  "slave",  "private",  "unbindable",
                                        "rshared", "rslave", "rprivate", "runbindable"};
    if (!propagation || !*propagation)
        return STATUS_OK;
    if (!contains(kinds, ARRAY_SIZE(kinds), propagation))
        return oci_text_refuse(st, "--rootfs-propagation", propagation,
                               "must be shared, slave, private or unbindable, or one of these with "
                               "an r before it");
    oci_json_set(section, "rootfsPropagation", json_string(propagation));
    return STATUS_OK;
}

json_t *oci_linux_new(const oci_spec_options_t *options, status_t *st)
{
    json_auto_t *section = oci_json_must(json_object());
    if (set_resources(section, options, st) || set_cgroup(section, options, st) ||
        set_propagation(section, options->rootfs_propagation, st))
        return NULL;
    json_t *namespaces = namespaces_new(options, st);
    if (!namespaces)
        return NULL;
    oci_json_set(section, "namespaces", namespaces);
    if (!options->privileged) {
        oci_json_set(section, "maskedPaths",
                     oci_json_strings(masked_paths, ARRAY_SIZE(masked_paths)));
        oci_json_set(section, "readonlyPaths",
                     oci_json_strings(readonly_paths, ARRAY_SIZE(readonly_paths)));
    }
    return TAKE(section);
}
