/* Reading small text files whole: the user's own, and those inside a container's root. */
#ifndef SHIMD_OCI_FILE_H
#define SHIMD_OCI_FILE_H

#include <stddef.h>

#include "common/status.h"

/* Bytes that a --config file, an --env-file, and /etc/passwd or /etc/group in a root may have. */
#define OCI_FILE_CONFIG_MAX   (4 * 1024 * 1024)
#define OCI_FILE_ENV_MAX      (1024 * 1024)
#define OCI_FILE_ACCOUNTS_MAX (4 * 1024 * 1024)

/* Reads `path`, which may be a pipe, up to its end into `*ret`, terminated with NUL; the caller
 * frees it. INVALID_ARGUMENT naming `flag` when it cannot be opened, is longer than `size_max` or
 * has a NUL byte in it. Blocks like read(2). */
status_code_t oci_file_read(const char *flag, const char *path, size_t size_max, char **ret,
                            status_t *st);

/* The same for a regular file at `path` as a process inside `root` would see it: symbolic links and
 * ".." never lead out of `root` (openat2, RESOLVE_IN_ROOT). Never blocks on a pipe or a device.
 * A missing file is no failure: `*ret` is NULL then. */
status_code_t oci_file_read_inside(const char *root, const char *path, size_t size_max, char **ret,
                                   status_t *st);

#endif
