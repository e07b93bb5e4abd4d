/* What is mounted below a directory, and unmounting it. The table is the kernel's
 * (/proc/self/mountinfo), so looking never touches a mounted filesystem. */
#ifndef SHIMD_BUNDLE_MOUNTS_H
#define SHIMD_BUNDLE_MOUNTS_H

#include "common/status.h"

/* Whether anything is mounted on `name` of `parent` or below it; true too when that cannot be
 * known. */
bool bundle_mounts_any(int parent, const char *name);

/* Unmounts everything on `name` of `parent` and below it, deepest first, never lazily and never
 * through a symlink. Blocks for as long as filesystems take; one that is busy is tried again for
 * BUNDLE_MOUNTS_BUSY_MS. After that, FAILED_PRECONDITION names the mount point, and mounts may be
 * left. */
#define BUNDLE_MOUNTS_BUSY_MS 500
status_code_t bundle_mounts_unmount(int parent, const char *name, status_t *st);

#endif
