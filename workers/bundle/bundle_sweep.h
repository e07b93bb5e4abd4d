/* Finding what creates and deletes left when they were cut short. */
#ifndef SHIMD_BUNDLE_SWEEP_H
#define SHIMD_BUNDLE_SWEEP_H

#include "workers/bundle/bundle_store.h"

/* Called for each left-over by its hidden name, ".ID.del-UUID"; twice when both RUN and ROOT have
 * it. */
typedef void bundle_sweep_found_t(void *arg, const char *ns, const char *hidden);

/* Hides the directories of creates that never came to their end and the work directories without a
 * bundle, tells of these and of all that were hidden before, and removes namespaces' directories
 * that are empty. Quick. Must not run while a bundle is being made, which is why it belongs into
 * the process and thread that makes them. What cannot be hidden is logged and left for the next
 * time. */
status_code_t bundle_sweep_run(const bundle_store_t *store, bundle_sweep_found_t *found, void *arg,
                               status_t *st);

#endif
