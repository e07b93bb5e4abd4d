/* The capabilities of a container's process. */
#ifndef SHIMD_OCI_CAPS_H
#define SHIMD_OCI_CAPS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/status.h"

/* The `capabilities` object: bounding, effective and permitted alike, as containerd fills them. It
 * starts from containerd's 14 defaults, or with `privileged` from what this process has in effect;
 * then `add` (--cap-add) is added and `drop` (--cap-drop) taken away. Both lists are
 * NULL-terminated or NULL. Names are the kernel's, CAP_ included; containerd takes any name with
 * that prefix and the runtime passes an unknown one by, here it is refused, since a misspelt
 * --cap-drop would leave the capability there.
 * The caller owns the object; NULL with INVALID_ARGUMENT. */
json_t *oci_caps_new(bool privileged, char *const *add, char *const *drop, status_t *st);

#endif
