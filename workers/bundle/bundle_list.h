/* All bundles, a page at a time. */
#ifndef SHIMD_BUNDLE_LIST_H
#define SHIMD_BUNDLE_LIST_H

#include "workers/bundle/bundle_store.h"

/* The page that `ask` wants, in order of namespace and id, with those set aside on the first one.
 * What is hidden, is no directory, or lies in a namespace's directory that has no identifier's name
 * is passed over. RESOURCE_EXHAUSTED when they are more than BUNDLE_LIST_BYTES. `debts` is left
 * empty. Looks into no more bundles than it answers. */
#define BUNDLE_LIST_BYTES (MSG_BODY_MAX - (1u << 20)) /* the rest is for debts */
status_code_t bundle_list(const bundle_store_t *store, const msg_bundle_list_t *ask,
                          msgpack_zone *zone, msg_bundles_t *ret, status_t *st);

/* Order of namespace, id and path, for qsort. */
int bundle_list_compare(const void *a, const void *b);

/* More bytes than it takes in a message. */
size_t bundle_list_bytes(const msg_bundle_t *bundle);

#endif
