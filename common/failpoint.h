/* Places where a test may make a process die, fail or stop for a while: compiled in, and off unless
 * the configuration says `failpoints = on`. Then RUN/failpoints/NAME holds what happens there, in
 * containerd's terms (internal/failpoint): COUNT*KIND(ARGUMENT) joined by "->", the kinds being
 * off, error(TEXT), panic and delay(MS); a term without a count goes on for ever. Hits are counted
 * in the directory, so that a process that died at one goes past it the next time. */
#ifndef SHIMD_FAILPOINT_H
#define SHIMD_FAILPOINT_H

#include "common/cluster.h"

#include <stdbool.h>

#define FAILPOINT_DIR "failpoints"

/* Reads the configuration. `process` ("shim") begins the names. */
status_code_t failpoint_init(const cluster_t *cluster, const char *process, status_t *st);

/* Of a process that has no configuration: what failpoint_directory() of its parent was. */
void failpoint_inherit(const char *directory, const char *process);

/* Hits "PROCESS.NAME", spaces in it become '-'. OK, or UNKNOWN with the text of an error. Does not
 * return from a panic, which is SIGKILL, nor before a delay is over. */
#define FAILPOINT(st, ...) (failpoint_is_on ? failpoint_hit(st, __VA_ARGS__) : STATUS_OK)

extern bool failpoint_is_on;
status_code_t failpoint_hit(status_t *st, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
