/* The `linux` section of a spec: namespaces, cgroups, devices, hidden paths. */
#ifndef SHIMD_OCI_LINUX_H
#define SHIMD_OCI_LINUX_H

#include <jansson.h>

#include "client/oci/oci_spec.h"
#include "common/status.h"

/* The section for these options. Beyond ctr it refuses a --with-ns without an absolute path, a
 * --cgroup with ".." in it (the runtime would walk out of its place in the hierarchy) and a
 * --rootfs-propagation that there is not. The caller owns it; NULL with INVALID_ARGUMENT. */
json_t *oci_linux_new(const oci_spec_options_t *options, status_t *st);

#endif
