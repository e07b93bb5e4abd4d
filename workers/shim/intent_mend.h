/* An intent that was lost or damaged, made again. */
#ifndef SHIMD_SHIM_INTENT_MEND_H
#define SHIMD_SHIM_INTENT_MEND_H

#include "workers/shim/manager.h"

/* Whether the bundle says, without its intent, that a shim was started: then something may run. */
bool intent_mend_is_due(const char *bundle);

/* Makes it from what else the bundle and the container's record (NULL without one) tell, and writes
 * it. Of the request that started the shim nothing is left. FAILED_PRECONDITION when neither tells
 * the shim's executable; what writing it says. */
status_code_t intent_mend(const manager_t *self, const task_t *task,
                          const msg_container_t *container, intent_t *ret, status_t *st);

#endif
