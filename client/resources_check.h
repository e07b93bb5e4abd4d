/* A file of OCI linux resources, looked through before it is sent. */
#ifndef SHIMD_RESOURCES_CHECK_H
#define SHIMD_RESOURCES_CHECK_H

#include "common/status.h"

#include <jansson.h>

/* Whether all fields are OCI's and have its types. INVALID_ARGUMENT names the first that is not:
 * "memory.limit must be a whole number". */
status_code_t resources_check(const json_t *resources, status_t *st);

#endif
