/* One run of shimctl: what the command line said, and the connection to the cluster. */
#ifndef SHIMD_SESSION_H
#define SHIMD_SESSION_H

#include "client/command.h"
#include "common/cluster.h"
#include "common/link.h"

#include <czmq.h>

typedef struct session session_t;

/* For `command` with its parsed options, both of which must outlive the session. Does not connect.
 * NULL with INVALID_ARGUMENT when a global option has no sense. */
session_t *session_new(const command_t *command, const options_t *options, status_t *st);
void session_destroy(session_t **self);

const command_t *session_command(const session_t *self);
const options_t *session_options(const session_t *self);
const cluster_t *session_cluster(const session_t *self);
const char *session_ns(const session_t *self);
bool session_json(const session_t *self);
int64_t session_timeout_ms(const session_t *self); /* of one request; 0: the method's own */
zloop_t *session_loop(session_t *self);

/* Operands; `count` is within the command's bounds. */
char **session_operands(const session_t *self, size_t *count);
const char *session_operand(const session_t *self, size_t index); /* NULL behind the last */

/* The operands as filters of a list. */
msg_texts_t session_filters(const session_t *self);

/* Memory for answers; lives as long as the session. */
msgpack_zone *session_zone(session_t *self);

/* The connection, made when it is first wanted. NULL with UNAVAILABLE at once when nobody listens
 * there, and with PERMISSION_DENIED when this user may not ask. */
link_t *session_link(session_t *self, status_t *st);

/* Asks and waits. `answer` may be NULL; what it points to lives in session_zone. Must not be called
 * from inside the loop. */
status_code_t session_call(session_t *self, msg_id_t method, const void *ask, void *answer,
                           status_t *st);

/* The same for a method that has no deadline, unless --timeout was given. */
status_code_t session_wait(session_t *self, msg_id_t method, const void *ask, void *answer,
                           status_t *st);

/* Calls `work` for each operand from `first` on, printing failures and going on after them. Returns
 * the exit status of the first failure. */
typedef status_code_t session_work_t(session_t *self, const char *operand, status_t *st);
int session_each(session_t *self, size_t first, session_work_t *work);

/* Takes away the fifos of execs of a task that was deleted, and of others whose task is gone. */
void session_sweep_fifos(const session_t *self, const char *id);

/* Where the bundle of a container is. The caller frees. */
char *session_bundle(const session_t *self, const char *id);

/* Prints the name of something: a line, or with --json an object with `name`. */
void session_print_name(const session_t *self, const char *name);

/* Puts "WHAT ID: " before the sentence, unless it names the id already. Returns the code. */
status_code_t session_explain(status_t *st, const char *what, const char *id);

/* Prints "shimctl: SENTENCE" to standard error and returns the exit status for it. */
int session_fail(const status_t *st);

/* Says that the command line is wrong, and where help is. Returns the exit status for that. */
int session_usage(const session_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
