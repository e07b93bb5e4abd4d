/* Whether checkpoints can be made and restored on this machine. */
#ifndef SHIMD_CRIU_H
#define SHIMD_CRIU_H

#include "common/status.h"

/* Runs `criu check`, for a runtime that drives runc; does nothing for others, which may need no
 * CRIU. FAILED_PRECONDITION names CRIU and says what it said. Blocks while it runs, 30 s at most.
 *
 * It is here and not in the shim worker because that one serves every container in one loop and
 * must wait for no program; and a checkpoint that CRIU gives up in the middle may leave the
 * container frozen, so that it has to be known before. */
status_code_t criu_check(const char *runtime, status_t *st);

#endif
