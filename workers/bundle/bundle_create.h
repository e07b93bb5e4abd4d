/* Making a bundle: all of it or nothing, whatever fails and whenever the process dies. */
#ifndef SHIMD_BUNDLE_CREATE_H
#define SHIMD_BUNDLE_CREATE_H

#include "workers/bundle/bundle_store.h"

/* Makes the bundle `id` of run `incarnation` (a UUID) with `spec` as its configuration. It is built
 * in a hidden directory and renamed into place as the last step; what a failure leaves is undone,
 * and what a crash leaves is for bundle_sweep. A work directory that is there already is replaced;
 * `has_left_over` tells that one was set aside for bundle_sweep, being not empty.
 *
 * OK too when the bundle of this incarnation is there. INVALID_ARGUMENT (names, spec is no JSON
 * object); ALREADY_EXISTS, of another incarnation or damaged; FAILED_PRECONDITION when something
 * that is no bundle has its name; RESOURCE_EXHAUSTED on a full disk. Does not wait for anything but
 * the filesystem, and must not run twice at once for one id. */
status_code_t bundle_create_run(const bundle_store_t *store, const char *ns, const char *id,
                                const char *incarnation, const void *spec, size_t size,
                                bool *has_left_over, status_t *st);

/* The group that the spec's linux.gidMappings give to the container's root, as containerd reads it;
 * 0 when there is no mapping. INVALID_ARGUMENT when the spec is no JSON object or the group no
 * number from 0 to 2^32 - 2. */
status_code_t bundle_create_mapped_group(const void *spec, size_t size, gid_t *ret, status_t *st);

#endif
