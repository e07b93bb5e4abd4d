/* What the outcome of a request tells of a task: that it was made, started, paused. */
#ifndef SHIMD_METADATA_EVIDENCE_H
#define SHIMD_METADATA_EVIDENCE_H

#include "workers/metadata/call.h"

/* The events of which it tells are written when the shim does not send them. */
void evidence_of_request(txn_t *txn, const msg_request_record_t *record, int64_t now);

#endif
