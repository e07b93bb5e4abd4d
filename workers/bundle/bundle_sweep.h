/* Finding and removing what creates and deletes left when they were cut short. */
#ifndef SHIMD_BUNDLE_SWEEP_H
#define SHIMD_BUNDLE_SWEEP_H

#include "workers/bundle/bundle_store.h"

/* First half, quick: marks for removal the directories of creates that never came to their end and
 * the work directories without a bundle, and removes namespaces' directories that are empty. Must
 * not run while a bundle is being made, which is why it belongs into the process and thread that
 * makes them. `count` is how many left-overs there are for the second half. What cannot be marked
 * is logged and left for the next time. */
status_code_t bundle_sweep_mark(const bundle_store_t *store, size_t *count, status_t *st);

/* Second half: unmounts and removes everything that is marked. Blocks for as long as filesystems
 * do; may run while bundles are made and deleted. Goes on after a failure and returns the first. */
status_code_t bundle_sweep_run(const bundle_store_t *store, status_t *st);

#endif
