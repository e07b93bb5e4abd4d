/* Namespaces. */
#ifndef SHIMD_METADATA_NAMESPACES_H
#define SHIMD_METADATA_NAMESPACES_H

#include "workers/metadata/call.h"

#define NAMESPACES_MAX       LIMIT_PAGE  /* they are listed at once */
#define NAMESPACE_RECORD_MAX (64u << 10) /* bytes of one with its labels */

/* namespace.create, .get, .list, .update, .delete */
call_run_t namespaces_create;
call_run_t namespaces_get;
call_run_t namespaces_list;
call_run_t namespaces_update;
call_run_t namespaces_delete;

/* Makes the namespace when it is not there, with its event. RESOURCE_EXHAUSTED when there are too
 * many. */
status_code_t namespaces_ensure(txn_t *txn, const char *name, int64_t now, status_t *st);

#endif
