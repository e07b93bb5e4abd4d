/* The process of a task that was started, in its bundle: what is left to know it by when its shim
 * and a predecessor are gone. */
#ifndef SHIMD_SHIM_INIT_RECORD_H
#define SHIMD_SHIM_INIT_RECORD_H

#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

/* init.json. A failure is logged: the task goes on, and is lost with its shim. */
void init_record_write(const char *bundle, uint32_t pid, uint64_t start);

/* False when there is none. */
bool init_record_read(const char *bundle, uint32_t *pid, uint64_t *start);

#endif
