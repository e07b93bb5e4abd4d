/* Deleting a bundle: unmounted first, out of sight second, removed last. */
#ifndef SHIMD_BUNDLE_REMOVE_H
#define SHIMD_BUNDLE_REMOVE_H

#include "workers/bundle/bundle_store.h"

/* Whether the bundle is there and `incarnation`, unless it is NULL, is its own. INVALID_ARGUMENT,
 * NOT_FOUND, FAILED_PRECONDITION when something else than a directory has the name, or when an
 * incarnation is given and the bundle is too damaged to tell its own. */
status_code_t bundle_remove_check(const bundle_store_t *store, const char *ns, const char *id,
                                  const char *incarnation, status_t *st);

/* True when bundle_remove_quickly will do, and take no longer than a handful of system calls:
 * nothing is mounted below the bundle or its work directory, and both are small and flat. */
#define BUNDLE_REMOVE_QUICK_ENTRIES 64
bool bundle_remove_is_quick(const bundle_store_t *store, const char *ns, const char *id);

/* As bundle_remove_run, without looking for mounts: right after bundle_remove_is_quick has. */
status_code_t bundle_remove_quickly(const bundle_store_t *store, const char *ns, const char *id,
                                    const char *incarnation, status_t *st);

/* Deletes the bundle and its work directory; may block for as long as filesystems do. What is
 * mounted between the unmounting and the removing is never entered. Says what bundle_remove_check
 * does, and:
 * - FAILED_PRECONDITION: something could not be unmounted and is named; nothing is removed, the
 *   bundle is listed as before (some of several mounts may be gone).
 * - ABORTED: the bundle is gone and its id free, but a part of it is left under a hidden name, for
 *   bundle_sweep to try again. */
status_code_t bundle_remove_run(const bundle_store_t *store, const char *ns, const char *id,
                                const char *incarnation, status_t *st);

#endif
