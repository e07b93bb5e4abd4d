/* Makes the process of a container: a stub that waits at a gate, as runc's init does between create
 * and start, and then becomes the program. */
#ifndef SHIMD_FAKE_RUNNER_H
#define SHIMD_FAKE_RUNNER_H

#include "tests/fake-shim/spec.h"
#include "tests/fake-shim/streams.h"

#include <sys/types.h>

/* Starts the stub in a session of its own. One byte into `gate`, which is the caller's to close,
 * lets it become the program; if the gate is closed without, it stays until it is killed. */
status_code_t runner_spawn(const program_t *program, const streams_t *streams, bool is_terminal,
                           pid_t *pid, int *gate, status_t *st);

/* True when main() was called as the stub. */
bool runner_is_stub(int argc, char **argv);
_Noreturn void runner_stub(char **argv);

#endif
