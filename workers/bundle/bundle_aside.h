/* Setting a damaged bundle aside: kept for people to look at, out of everybody's way. */
#ifndef SHIMD_BUNDLE_ASIDE_H
#define SHIMD_BUNDLE_ASIDE_H

#include "workers/bundle/bundle_store.h"

/* Moves `name`, whatever it is, from the namespace's bundles to RUN/quarantine/NS/NAME.MS, its work
 * directory likewise below ROOT, and writes `why` beside it. Nothing is unmounted or removed: what
 * is mounted inside moves along. `name` need not be an identifier, but may not be hidden or a path:
 * INVALID_ARGUMENT. NOT_FOUND; FAILED_PRECONDITION when something is mounted on it. Quick. */
status_code_t bundle_aside_run(const bundle_store_t *store, const char *ns, const char *name,
                               const char *why, status_t *st);

#endif
