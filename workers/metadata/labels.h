/* Merging labels the way containerd does: set, or delete with an empty value. */
#ifndef SHIMD_METADATA_LABELS_H
#define SHIMD_METADATA_LABELS_H

#include "common/message.h"

/* `changes` over `labels`, in `zone`; texts are borrowed. With two changes of one key the later one
 * counts. INVALID_ARGUMENT when more than LIMIT_LABELS would be left. */
status_code_t labels_merge(const msg_labels_t *labels, const msg_labels_t *changes,
                           msgpack_zone *zone, msg_labels_t *ret, status_t *st);

#endif
