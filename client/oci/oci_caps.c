/* The capabilities of a container's process. */
#include "client/oci/oci_caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

#define ADD_FLAG  "--cap-add"
#define DROP_FLAG "--cap-drop"

/* By number (linux/capability.h). */
static const char *const known[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

/* containerd's, in its order. */
static const char *const defaults[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE",
};

/* The kernel's own numbers guard the table's order. */
_Static_assert(ARRAY_SIZE(known) == CAP_CHECKPOINT_RESTORE + 1, "a capability is missing");

static status_code_t check_names(const char *flag, char *const *names, status_t *st)
{
    for (size_t i = 0; names && names[i]; i++) {
        if (strncmp(names[i], "CAP_", 4))
            return oci_text_refuse(st, flag, names[i], "must begin with CAP_");
        size_t number = 0;
        while (number < ARRAY_SIZE(known) && strcmp(known[number], names[i]))
            number++;
        if (number == ARRAY_SIZE(known))
            return oci_text_refuse(st, flag, names[i], "no such capability");
    }
    return STATUS_OK;
}

/* Capabilities that this kernel has and the table has not are left out, as containerd does. */
static json_t *current(status_t *st)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data)) {
        status_errno(st, errno, "--privileged: capget");
        return NULL;
    }
    uint64_t effective = (uint64_t)data[1].effective << 32 | data[0].effective;
    json_t *names = oci_json_must(json_array());
    for (size_t number = 0; number < ARRAY_SIZE(known); number++)
        if (effective >> number & 1)
            oci_json_push(names, json_string(known[number]));
    return names;
}

/* The index of `name`, or the array's size. */
static size_t find(const json_t *names, const char *name)
{
    size_t i = 0;
    while (i < json_array_size(names) && strcmp(json_string_value(json_array_get(names, i)), name))
        i++;
    return i;
}

json_t *oci_caps_new(bool privileged, char *const *add, char *const *drop, status_t *st)
{
    if (oci_text_check_list(ADD_FLAG, add, OCI_TEXT_SIZE_MAX, st) ||
        oci_text_check_list(DROP_FLAG, drop, OCI_TEXT_SIZE_MAX, st) ||
        check_names(ADD_FLAG, add, st) || check_names(DROP_FLAG, drop, st))
        return NULL;

    json_auto_t *names =
        privileged ? current(st) : oci_json_strings(defaults, ARRAY_SIZE(defaults));
    if (!names)
        return NULL;
    for (size_t i = 0; add && add[i]; i++)
        if (find(names, add[i]) == json_array_size(names))
            oci_json_push(names, json_string(add[i]));
    for (size_t i = 0; drop && drop[i]; i++)
        json_array_remove(names, find(names, drop[i]));

    json_t *caps = oci_json_must(json_object());
    oci_json_set_filled(caps, "bounding", json_copy(names));
    oci_json_set_filled(caps, "effective", json_copy(names));
    oci_json_set_filled(caps, "permitted", json_copy(names));
    return caps;
}
