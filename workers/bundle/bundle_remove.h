/* Deleting a bundle: out of sight first, which frees its id at once; unmounted and removed after.
 */
#ifndef SHIMD_BUNDLE_REMOVE_H
#define SHIMD_BUNDLE_REMOVE_H

#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_store.h"

/* Renames bundle and work directory, with all that is mounted inside, to the name it writes to
 * `hidden`, which is the same in RUN and ROOT; the bundle must be of `incarnation` unless that is
 * NULL. Quick, and touches no mounted filesystem. After a failure both are where they were.
 * INVALID_ARGUMENT, NOT_FOUND; FAILED_PRECONDITION when something else than a directory has the
 * name, when an incarnation is given and the bundle is too damaged to tell its own, or when
 * something is mounted on the bundle's or the work directory itself, which the kernel does not
 * rename. `is_mount_point` is true in the last case: bundle_remove_unmount may help. */
status_code_t bundle_remove_hide(const bundle_store_t *store, const char *ns, const char *id,
                                 const char *incarnation, char hidden[BUNDLE_DIR_NAME_SIZE],
                                 bool *is_mount_point, status_t *st);

/* Unmounts what is on and below a bundle that is still in its place, and its work directory. Blocks
 * for as long as filesystems do. Says what bundle_remove_hide does; FAILED_PRECONDITION names what
 * could not be unmounted, and some of several mounts may be gone. */
status_code_t bundle_remove_unmount(const bundle_store_t *store, const char *ns, const char *id,
                                    const char *incarnation, status_t *st);

/* True when bundle_remove_quickly will do for `hidden`, and take no longer than a handful of system
 * calls: nothing is mounted below it in RUN and in ROOT, and both are small and flat. */
#define BUNDLE_REMOVE_QUICK_ENTRIES 64
bool bundle_remove_is_quick(const bundle_store_t *store, const char *ns, const char *hidden);

/* As bundle_remove_hidden, without looking for mounts: right after bundle_remove_is_quick has. */
status_code_t bundle_remove_quickly(const bundle_store_t *store, const char *ns, const char *hidden,
                                    status_t *st);

/* Unmounts and removes what has the name `hidden` in RUN and ROOT, if anything has. Blocks for as
 * long as filesystems do. Where unmounting fails nothing is removed, and what is mounted between
 * the unmounting and the removing is never entered. After a failure, whose sentence names the
 * culprit, it can be tried again. */
status_code_t bundle_remove_hidden(const bundle_store_t *store, const char *ns, const char *hidden,
                                   status_t *st);

#endif
