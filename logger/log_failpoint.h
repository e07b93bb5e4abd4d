/* Failpoints of the log writer (common/failpoint.h); on where LOG_SETTING_FAILPOINTS names their
 * directory. */
#ifndef SHIMD_LOG_FAILPOINT_H
#define SHIMD_LOG_FAILPOINT_H

#include <stdbool.h>

/* Hits "log.NAME". False with errno EIO when what comes next is to fail. Says nothing: a writer has
 * nobody to say it to. */
bool log_failpoint(const char *name);

#endif
