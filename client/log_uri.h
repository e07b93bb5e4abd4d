/* The log of a detached process: where it is, and the URI that makes a shim start its writer. */
#ifndef SHIMD_LOG_URI_H
#define SHIMD_LOG_URI_H

#include "client/session.h"

typedef struct log_uri_limits {
    uint64_t max_size;  /* bytes of one file; 0: the writer's default */
    uint64_t max_files; /* 0: the writer's default */
} log_uri_limits_t;

/* Reads --log-opt words: max-size=10m, max-file=3. `words` may be NULL. INVALID_ARGUMENT. */
status_code_t log_uri_limits(char *const *words, log_uri_limits_t *ret, status_t *st);

/* Which process's log. */
typedef struct log_uri_subject {
    const msg_cluster_t *cluster; /* answer of cluster.status */
    const char *ns, *id;
    const char *exec_id; /* NULL for the container's own process */
    int64_t created_at;  /* of the container record */
} log_uri_subject_t;

/* The directory of the log, and the URI of its writer, `binary:///LIBEXEC/shimd-log?...`. The
 * caller frees. NULL with FAILED_PRECONDITION when the cluster does not say where these are, and
 * INVALID_ARGUMENT for a URI longer than a shim is told. */
char *log_uri_dir(const log_uri_subject_t *subject, status_t *st);
char *log_uri_new(const log_uri_subject_t *subject, const log_uri_limits_t *limits, bool terminal,
                  status_t *st);

/* Whether a stream of a process (its stdout) goes to a log writer of ours. NULL is none. */
bool log_uri_is_ours(const char *stream);

#endif
