/* Exit records, and their index by time. */
#ifndef SHIMD_METADATA_EXIT_RECORDS_H
#define SHIMD_METADATA_EXIT_RECORDS_H

#include "workers/metadata/call.h"

#define EXIT_RECORDS_SCAN_MAX 10000 /* records one exit.list looks at */

/* `key` is of TABLE_EXITS. A record that is there is replaced. */
void exit_records_put(txn_t *txn, const store_key_t *key, const msg_incarnation_exit_t *record);
void exit_records_delete(txn_t *txn, const store_key_t *key);

/* Enters all of them into the index by time again. */
void exit_records_reindex(txn_t *txn);

/* exit.list */
call_run_t exit_records_list;

#endif
