/* OCI runtime specs as `ctr run --rootfs` of containerd 1.6.20 makes them: what a container is. */
#ifndef SHIMD_OCI_SPEC_H
#define SHIMD_OCI_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

/* The version that containerd 1.6.20 writes into its specs. */
#define OCI_SPEC_VERSION "1.0.2-dev"

/* Bytes of an encoded spec; the cluster's messages take no longer one. */
#define OCI_SPEC_SIZE_MAX (4 * 1024 * 1024)

/* What `ctr run` takes when --cpu-shares is not given; `ctr containers create` sets none. */
#define OCI_SPEC_CPU_SHARES_RUN 1024

/* The kernel's bounds; periods and quotas in microseconds. */
#define OCI_SPEC_CPU_SHARES_MIN 2
#define OCI_SPEC_CPU_SHARES_MAX 262144
#define OCI_SPEC_CPU_PERIOD_MIN 1000
#define OCI_SPEC_CPU_PERIOD_MAX 1000000
#define OCI_SPEC_CPU_QUOTA_MIN  1000
#define OCI_SPEC_CPUS_MAX       8192
/* Open files: the kernel's largest nr_open on 64 bits. */
#define OCI_SPEC_NOFILE_MAX 1073741816

/* What the command line said. Texts and lists stay the caller's and are read during the call only;
 * lists are NULL-terminated, and NULL is an empty one. Start from OCI_SPEC_OPTIONS_INIT. */
typedef struct oci_spec_options {
    const char *ns;           /* containerd namespace; required */
    const char *id;           /* container's name in it; required */
    const char *rootfs;       /* an existing directory; required */
    char *const *args;        /* the command; at least one */
    char *const *env;         /* --env: NAME=VALUE sets, NAME removes */
    const char *env_file;     /* --env-file: the same, a line each, taken before `env` */
    const char *cwd;          /* --cwd: absolute; NULL or "" for "/" */
    const char *user;         /* --user: see oci_user_new; NULL for root */
    const char *hostname;     /* --hostname: NULL for the runtime's own */
    char *const *mounts;      /* --mount: see oci_mount_parse */
    char *const *annotations; /* --annotation: KEY=VALUE */
    char *const *labels;      /* --label: see oci_spec_add_labels */
    char *const *cap_add;     /* --cap-add, --cap-drop: see oci_caps_new */
    char *const *cap_drop;
    char *const *with_ns;      /* --with-ns: TYPE:PATH */
    char *const *devices;      /* --device: see oci_device_add */
    const char *cgroup;        /* --cgroup: NULL for PARENT/NS/ID, "" for the runtime's choice */
    const char *cgroup_parent; /* cluster_cgroup; NULL for none */
    const char *rootfs_propagation; /* --rootfs-propagation: shared, rslave and so on */
    const char *rlimit_nofile;      /* --rlimit-nofile: SOFT[:HARD]; NULL for 1024 */
    const char *cpuset_cpus;        /* --cpuset-cpus, --cpuset-mems: 0-2,5 */
    const char *cpuset_mems;
    uint64_t memory_limit; /* --memory-limit: bytes; 0 for none */
    double cpus;           /* --cpus: 0 for no quota */
    uint64_t cpu_shares;   /* --cpu-shares: 0 for none */
    int64_t cpu_quota;     /* --cpu-quota: microseconds, -1 for none */
    uint64_t cpu_period;   /* --cpu-period: microseconds, 0 for none */
    bool rootfs_readonly;  /* --read-only */
    bool terminal;         /* --tty */
    bool net_host;         /* --net-host */
    bool privileged;       /* --privileged */
    bool allow_new_privs;  /* --allow-new-privs */
} oci_spec_options_t;

#define OCI_SPEC_OPTIONS_INIT                                                                      \
    {                                                                                              \
        .cpu_quota = -1                                                                            \
    }

/* The whole spec, to be written as config.json: containerd 1.6.20's default with the options
 * applied in ctr's order, seccomp and AppArmor off as there. Values that ctr lets through and that
 * the runtime would choke on, or read as something else than was meant, are refused; the functions
 * named above say which. Reads the root filesystem, the devices and the env file: blocks on them.
 * The caller owns the spec; NULL with INVALID_ARGUMENT naming the flag. */
json_t *oci_spec_new(const oci_spec_options_t *options, status_t *st);

/* Reads a spec from a file (--config), which is taken as it is, fields that this program does not
 * know too. As in ctr, "-" is a file of that name. It must be JSON of at most OCI_SPEC_SIZE_MAX
 * bytes without duplicate keys, and hold ociVersion, process with args and cwd, and root with path.
 * Integers end at 9223372036854775807. On success the caller owns `*ret`. */
status_code_t oci_spec_load(const char *path, json_t **ret, status_t *st);

/* Adds labels (--label KEY=VALUE, KEY alone meaning KEY=true) to the spec's annotations, as ctr
 * does for every container, one made from a --config file too. Refuses an empty key. */
status_code_t oci_spec_add_labels(json_t *spec, char *const *labels, status_t *st);

#endif
