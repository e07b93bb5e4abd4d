/* Stored records for lists that have filters. */
#ifndef SHIMD_METADATA_FILTERED_H
#define SHIMD_METADATA_FILTERED_H

#include "common/filter.h"
#include "workers/metadata/store.h"

/* Decodes the record that the walk stands on into `ret`, with what it points to in `zone`. False
 * when the filter does not want it, which takes no room in the zone, or when it cannot be decoded,
 * which fails the transaction. */
bool filtered_record(filter_t *filter, const scan_t *scan, msg_id_t id, msgpack_zone *zone,
                     void *ret);

#endif
