/* The section `shim` of the configuration file: how long shims and their executables are waited
 * for, and what becomes of a container whose shim has died. */
#ifndef SHIMD_SHIM_SETTINGS_H
#define SHIMD_SHIM_SETTINGS_H

#include "common/status.h"

/* In milliseconds. */
typedef struct timeouts {
    int start;    /* of a shim's `start` verb */
    int connect;  /* of the first call, while the shim still initialises */
    int path;     /* of a look at a path that a client chose, on a file system that may hang */
    int create;   /* of Create: the shim's own limit for opening fifos is 30 s */
    int call;     /* of other calls, most of which run the OCI runtime */
    int state;    /* of State for task.get; then the last known state is told */
    int load;     /* of a call to a shim that is being adopted */
    int cleanup;  /* of a shim's `delete` verb */
    int shutdown; /* from Shutdown to SIGKILL */
} timeouts_t;

typedef enum shim_loss { SHIM_LOSS_KEEP, SHIM_LOSS_KILL } shim_loss_t;

typedef struct settings {
    timeouts_t timeouts;
    shim_loss_t on_shim_loss; /* unless the container says */
} settings_t;

/* The defaults, with what `config` says instead. INVALID_ARGUMENT names the key. */
status_code_t settings_read(settings_t *self, const char *config, status_t *st);

#endif
