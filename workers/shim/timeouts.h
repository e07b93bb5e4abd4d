/* How long the shim worker waits for shims and their executables: the section `shim` of the
 * configuration file. */
#ifndef SHIMD_SHIM_TIMEOUTS_H
#define SHIMD_SHIM_TIMEOUTS_H

#include "common/status.h"

/* In milliseconds. */
typedef struct timeouts {
    int start;    /* of a shim's `start` verb */
    int connect;  /* of the first call, while the shim still initialises */
    int create;   /* of Create: the shim's own limit for opening fifos is 30 s */
    int call;     /* of other calls, most of which run the OCI runtime */
    int state;    /* of State for task.get; then the last known state is told */
    int load;     /* of a call to a shim that is being adopted */
    int cleanup;  /* of a shim's `delete` verb */
    int shutdown; /* from Shutdown to SIGKILL */
} timeouts_t;

/* The defaults, with what `config` says instead. INVALID_ARGUMENT names the key. */
status_code_t timeouts_read(timeouts_t *self, const char *config, status_t *st);

#endif
