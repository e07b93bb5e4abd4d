/* Bundles that could not be removed when it was their time: asked for again until they are gone.
 * What is still owed when the worker ends is found by its successor, as a bundle whose run has
 * ended. */
#ifndef SHIMD_SHIM_DEBT_H
#define SHIMD_SHIM_DEBT_H

#include "workers/shim/manager.h"

#define DEBTS_MAX     4096 /* more are left to the successor */
#define DEBT_FIRST_MS 1000
#define DEBT_LAST_MS  60000

/* The bundle of this run shall go. `why` is logged. */
void debt_add(manager_t *self, const char *ns, const char *id, const char *incarnation,
              const status_t *why);

/* Forgets all, when the worker ends. */
void debts_destroy(manager_t *self);

#endif
