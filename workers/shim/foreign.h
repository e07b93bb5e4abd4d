/* What shims and OCI runtimes say in words only. */
#ifndef SHIMD_SHIM_FOREIGN_H
#define SHIMD_SHIM_FOREIGN_H

#include "common/worker.h"

/* Fails the request with what a shim said. A full disk is RESOURCE_EXHAUSTED, whatever code it came
 * with; the sentence stays. Only here, at the very end: until then the code says whether something
 * may have happened. */
void foreign_fail(request_t *request, const status_t *st);

#endif
