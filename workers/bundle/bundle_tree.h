/* Removing a directory tree without ever leaving it: neither through a symlink nor over a mount
 * point. Blocks for as long as the filesystem takes. */
#ifndef SHIMD_BUNDLE_TREE_H
#define SHIMD_BUNDLE_TREE_H

#include "common/status.h"

#define BUNDLE_TREE_DEPTH_MAX                                                                      \
    64 /* levels, each an open descriptor; deeper ones are moved up first */

/* Removes `name` of `parent`, whatever it is, with all that is in it. What others remove meanwhile
 * is no failure, nor is a `name` that is not there. A mount point is FAILED_PRECONDITION; after a
 * failure everything that could be removed is gone and the rest is untouched. */
status_code_t bundle_tree_remove(int parent, const char *name, status_t *st);

#endif
