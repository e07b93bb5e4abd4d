/* Host devices of a container: nodes to make, and cgroup rules that let it use them. */
#ifndef SHIMD_OCI_DEVICE_H
#define SHIMD_OCI_DEVICE_H

#include <jansson.h>
#include <stdbool.h>

#include "common/status.h"

/* Device nodes that one container may be given, and levels of directories searched for them. */
#define OCI_DEVICE_MAX       16384
#define OCI_DEVICE_DEPTH_MAX 16

/* The cgroup rules that a spec starts with: containerd's, nothing but the usual character devices;
 * or, when `privileged`, everything. The caller owns the array. */
json_t *oci_device_default_rules(bool privileged);

/* Appends to `devices` the node at `path` or, for a directory, all below it, as containerd finds
 * them (sorted; without console, pts, shm, fd, mqueue and a few more), and to `rules` leave to
 * read, write and make each. `rules` may be NULL. `flag` is named in refusals: of a path that is
 * no device and has none below it, of a symbolic link to a device (as containerd), and of a FIFO,
 * for which there is no cgroup rule. INVALID_ARGUMENT; the arrays may then have grown. */
status_code_t oci_device_add(const char *flag, const char *path, json_t *devices, json_t *rules,
                             status_t *st);

#endif
