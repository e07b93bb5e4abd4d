/* Events of shims that did not get into the journal. */
#include "workers/metadata/aside.h"

#include "workers/metadata/expiry.h"

#include <string.h>

#define COUNTER ".aside" /* in TABLE_NS_SEQ; no namespace begins with a dot */

static void make_room(txn_t *txn)
{
    scan_t scan;
    uint64_t oldest = 0;
    if (txn_count(txn, TABLE_ASIDE) < ASIDE_MAX)
        return;
    bool any = scan_seek(&scan, txn, TABLE_ASIDE, NULL, 0);
    if (any)
        memcpy(&oldest, scan.key.data, sizeof oldest);
    scan_close(&scan);
    if (any)
        txn_delete(txn, TABLE_ASIDE, &oldest, sizeof oldest);
}

void aside_add(txn_t *txn, const journal_event_t *event, int64_t now)
{
    msgpack_sbuffer buffer;
    make_room(txn);
    uint64_t seq = txn_next(txn, COUNTER);
    msgpack_sbuffer_init(&buffer);
    journal_pack(&buffer, event, seq, 0);
    txn_append(txn, TABLE_ASIDE, &seq, sizeof seq, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    expiry_add(txn, EXPIRY_ASIDE, &seq, sizeof seq, now + ASIDE_KEEP_NS, now);
}

void aside_forget(txn_t *txn, const store_key_t *seq)
{
    txn_delete(txn, TABLE_ASIDE, seq->bytes, seq->size);
}
