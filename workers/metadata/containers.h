/* Container records. */
#ifndef SHIMD_METADATA_CONTAINERS_H
#define SHIMD_METADATA_CONTAINERS_H

#include "workers/metadata/call.h"

/* Bytes of a record without its spec. An answer with such a record is kept with its request's
 * outcome (1 MiB at most), and with a spec of LIMIT_SPEC it still is a body that can be sent. */
#define CONTAINERS_RECORD_MAX ((1u << 20) - 4096)
#define CONTAINERS_PAGE_BYTES (2u << 20) /* a page of container.list ends here */

/* What one container.list with filters looks at: the page may be empty then, and has a `next`. */
#define CONTAINERS_SCAN_MAX   10000       /* records */
#define CONTAINERS_SCAN_BYTES (16u << 20) /* of them */

/* container.create, .get, .list, .update, .delete. Create and update answer the record without its
 * spec: whoever asked has it. */
call_check_t containers_check_create;
call_check_t containers_check_update;
call_run_t containers_create;
call_run_t containers_get;
call_run_t containers_list;
call_run_t containers_update;
call_run_t containers_delete;

/* The record with its spec, in `zone`. NOT_FOUND in containerd's words. */
status_code_t containers_find(txn_t *txn, const char *ns, const char *id, msgpack_zone *zone,
                              msg_container_t *ret, status_t *st);

/* The record without its spec; false when there is none. */
bool containers_look(txn_t *txn, const char *ns, const char *id, msgpack_zone *zone,
                     msg_container_t *ret);

/* Writes back a record that containers_look gave, with the spec that it has. One that has become
 * too long stays as it was, which is logged. */
void containers_keep(txn_t *txn, const msg_container_t *record);

#endif
