/* The shim's long life: serves the Task service on the socket that `start` made. */
#ifndef SHIMD_FAKE_DAEMON_H
#define SHIMD_FAKE_DAEMON_H

#include "tests/fake-shim/options.h"

#define DAEMON_LISTENER 3 /* the listening socket, inherited from `start` */

/* Runs in the bundle until Shutdown or SIGTERM; the exit status of the process. */
int daemon_run(const options_t *options);

#endif
