/* Stored records for lists that have filters. */
#include "workers/metadata/filtered.h"

static bool decode(const scan_t *scan, msg_id_t id, msgpack_zone *zone, void *ret)
{
    status_t st;
    if (!msg_decode(id, scan->value.data, scan->value.size, zone, ret, &st))
        return true;
    txn_fail(scan->txn, MDB_CORRUPTED);
    return false;
}

bool filtered_record(filter_t *filter, const scan_t *scan, msg_id_t id, msgpack_zone *zone,
                     void *ret)
{
    if (filter) {
        msgpack_zone *trial = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
        if (!trial)
            abort();
        bool wanted = decode(scan, id, trial, ret) && filter_match_record(filter, id, ret);
        msgpack_zone_free(trial);
        if (!wanted)
            return false;
    }
    return decode(scan, id, zone, ret);
}
