/* The cgroup limits of a container. */
#ifndef SHIMD_OCI_RESOURCES_H
#define SHIMD_OCI_RESOURCES_H

#include <jansson.h>

#include "client/oci/oci_spec.h"
#include "common/status.h"

/* Sets `memory` and `cpu` in the `resources` object by the options' limits, nothing where there are
 * none. INVALID_ARGUMENT for what the kernel does not take: it would fail at start, or (a limit
 * that overflows, cpus that are negative or no number) be silently none. */
status_code_t oci_resources_set(json_t *resources, const oci_spec_options_t *options, status_t *st);

#endif
