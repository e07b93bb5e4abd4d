/* Prints the OCI spec for ctr's flags: oci_spec_print [FLAG...] ROOTFS ID CMD... or --config FILE
 * ID. For the comparison with containerd's own; a refusal goes to stderr, exit status 1. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/oci/oci_spec.h"
#include "common/util.h"

#define LIST_MAX 32

typedef struct list {
    char *items[LIST_MAX + 1];
    size_t count;
} list_t;

/* Every flag says where its argument goes. */
typedef enum kind { TEXT, LIST, FLAG, UNSIGNED, SIGNED, REAL } kind_t;

typedef struct flag {
    const char *name;
    kind_t kind;
    void *target;
} flag_t;

static oci_spec_options_t options = OCI_SPEC_OPTIONS_INIT;
static list_t env, mounts, annotations, labels, cap_add, cap_drop, with_ns, devices;
static const char *config;

static const flag_t flags[] = {
    {"config", TEXT, &config},
    {"env", LIST, &env},
    {"env-file", TEXT, &options.env_file},
    {"cwd", TEXT, &options.cwd},
    {"user", TEXT, &options.user},
    {"hostname", TEXT, &options.hostname},
    {"mount", LIST, &mounts},
    {"annotation", LIST, &annotations},
    {"label", LIST, &labels},
    {"cap-add", LIST, &cap_add},
    {"cap-drop", LIST, &cap_drop},
    {"with-ns", LIST, &with_ns},
    {"device", LIST, &devices},
    {"cgroup", TEXT, &options.cgroup},
    {"rootfs-propagation", TEXT, &options.rootfs_propagation},
    {"rlimit-nofile", TEXT, &options.rlimit_nofile},
    {"cpuset-cpus", TEXT, &options.cpuset_cpus},
    {"cpuset-mems", TEXT, &options.cpuset_mems},
    {"memory-limit", UNSIGNED, &options.memory_limit},
    {"cpus", REAL, &options.cpus},
    {"cpu-shares", UNSIGNED, &options.cpu_shares},
    {"cpu-quota", SIGNED, &options.cpu_quota},
    {"cpu-period", UNSIGNED, &options.cpu_period},
    {"read-only", FLAG, &options.rootfs_readonly},
    {"tty", FLAG, &options.terminal},
    {"net-host", FLAG, &options.net_host},
    {"privileged", FLAG, &options.privileged},
    {"allow-new-privs", FLAG, &options.allow_new_privs},
    {"namespace", TEXT, &options.ns},
};

static void fail(const char *name, const char *value)
{
    fprintf(stderr, "--%s %s: unusable\n", name, value);
    exit(2);
}

static void take(const flag_t *flag, char *value)
{
    char *end = NULL;
    errno = 0;
    if (flag->kind == TEXT)
        *(const char **)flag->target = value;
    else if (flag->kind == FLAG)
        *(bool *)flag->target = true;
    else if (flag->kind == UNSIGNED)
        *(uint64_t *)flag->target = strtoull(value, &end, 0);
    else if (flag->kind == SIGNED)
        *(int64_t *)flag->target = strtoll(value, &end, 0);
    else if (flag->kind == REAL)
        *(double *)flag->target = strtod(value, &end);
    else if (((list_t *)flag->target)->count == LIST_MAX)
        fail(flag->name, value);
    else
        ((list_t *)flag->target)->items[((list_t *)flag->target)->count++] = value;
    if (errno || (end && (end == value || *end)))
        fail(flag->name, value);
}

static void parse(int argc, char **argv)
{
    struct option table[ARRAY_SIZE(flags) + 1] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        table[i] =
            (struct option){.name = flags[i].name,
                            .has_arg = flags[i].kind == FLAG ? no_argument : required_argument,
                            .val = (int)i};
    int code;
    while ((code = getopt_long(argc, argv, "+", table, NULL)) != -1) {
        if (code < 0 || (size_t)code >= ARRAY_SIZE(flags))
            exit(2);
        take(&flags[code], optarg);
    }
}

static json_t *make_spec(char **args, status_t *st)
{
    json_t *spec = NULL;
    if (config)
        return oci_spec_load(config, &spec, st) || oci_spec_add_labels(spec, labels.items, st)
                   ? NULL
                   : spec;
    options.rootfs = args[0];
    options.id = args[0] ? args[1] : NULL;
    options.args = options.id ? args + 2 : NULL;
    options.env = env.items;
    options.mounts = mounts.items;
    options.annotations = annotations.items;
    options.labels = labels.items;
    options.cap_add = cap_add.items;
    options.cap_drop = cap_drop.items;
    options.with_ns = with_ns.items;
    options.devices = devices.items;
    return oci_spec_new(&options, st);
}

int main(int argc, char **argv)
{
    options.ns = "default";
    options.cpu_shares = OCI_SPEC_CPU_SHARES_RUN;
    parse(argc, argv);
    status_t st = {0};
    json_auto_t *spec = make_spec(argv + optind, &st);
    if (!spec) {
        fprintf(stderr, "%s: %s\n", status_name(st.code), st.text);
        return 1;
    }
    json_dumpf(spec, stdout, JSON_INDENT(4));
    putchar('\n');
    return 0;
}
