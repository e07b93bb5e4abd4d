/* What a supervisor leaves to the executable that takes its place in the same process: a JSON
 * object in a memfd, and the descriptors that it names. Pid, children, subreaper, the record lock
 * and pending signals stay with the process by themselves. */
#ifndef SHIMD_HANDOVER_H
#define SHIMD_HANDOVER_H

#include "common/status.h"

#include <jansson.h>

/* A descriptor as a member of a state; it survives the execution of another file from then on. -1
 * is passed on as such. */
json_t *handover_put_fd(int fd);

/* The descriptor that stands under `key`, close-on-exec again and the caller's; -1 when there is
 * none. */
int handover_take_fd(const json_t *state, const char *key);

/* An integer or a text of a state; 0 and "" where there is none. */
int64_t handover_integer(const json_t *state, const char *key);
const char *handover_text(const json_t *state, const char *key);

/* Executes `argv` from `path` with the state. Returns only when that fails, with a status; then the
 * state can be taken up again in this very process. The state stays the caller's. */
status_code_t handover_execute(const char *path, char **argv, const json_t *state, status_t *st);

/* The state this process was executed with; NULL when there is none, which is no failure, or it
 * cannot be read. The caller releases it. */
json_t *handover_receive(status_t *st);

#endif
