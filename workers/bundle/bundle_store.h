/* Where bundles are and what is there. The directories are the only record; nothing is kept in
 * memory.
 *
 *   RUN/task/NS/ID/            config.json  rootfs/  work -> ROOT/task/NS/ID  incarnation  log
 *   ROOT/task/NS/ID/           the work directory
 *   RUN/quarantine/NS/NAME.MS/ set aside; why in NAME.MS.why; its work directory in ROOT/quarantine
 */
#ifndef SHIMD_BUNDLE_STORE_H
#define SHIMD_BUNDLE_STORE_H

#include "common/message.h"
#include "common/util.h"

#include <dirent.h>

#define BUNDLE_STORE_TASK        "task"
#define BUNDLE_STORE_QUARANTINE  "quarantine"
#define BUNDLE_STORE_CONFIG      "config.json"
#define BUNDLE_STORE_INCARNATION "incarnation"
#define BUNDLE_STORE_ROOTFS      "rootfs"
#define BUNDLE_STORE_WORK        "work"
#define BUNDLE_STORE_LOG         "log"
#define BUNDLE_STORE_WHY         ".why"

#define BUNDLE_STORE_DIR_MODE    0711 /* everything above a bundle: user namespaces pass through */
#define BUNDLE_STORE_BUNDLE_MODE 0700

typedef struct bundle_store bundle_store_t;

/* Opens the store, making the last component of both directories when it is not there. NULL with a
 * status. */
bundle_store_t *bundle_store_new(const char *run_dir, const char *root_dir, status_t *st);
void bundle_store_destroy(bundle_store_t **self);

/* The descriptors of RUN and ROOT, for processes that close everything else. */
int bundle_store_run_fd(const bundle_store_t *self);
int bundle_store_root_fd(const bundle_store_t *self);

/* Opens RUN/task/NS, ROOT/task/NS; -1 with errno. The caller closes. `ns` is an identifier. */
int bundle_store_open_run(const bundle_store_t *self, const char *ns);
int bundle_store_open_root(const bundle_store_t *self, const char *ns);

/* Absolute paths of a bundle, its work directory, and of what was set aside as `name`; the caller
 * frees. */
char *bundle_store_path(const bundle_store_t *self, const char *ns, const char *id);
char *bundle_store_work_path(const bundle_store_t *self, const char *ns, const char *id);
char *bundle_store_aside_path(const bundle_store_t *self, const char *ns, const char *name);

typedef struct bundle_state {
    bool empty;                       /* it has no entries at all */
    bool damaged;                     /* it is not what bundle_create makes */
    char incarnation[UTIL_UUID_SIZE]; /* "" when it cannot be read; a damaged one may have it */
} bundle_state_t;

/* Looks at the bundle `name` in the namespace's directory `run`. A directory that cannot be read,
 * has a mount on it, or lacks a whole configuration or incarnation is damaged, which is no failure.
 * NOT_FOUND; FAILED_PRECONDITION when something else than a directory has the name. Never blocks on
 * what is in a bundle. */
status_code_t bundle_store_look(int run, const char *name, bundle_state_t *ret, status_t *st);

/* One bundle as it is answered; `ret` lives in `zone`. INVALID_ARGUMENT, NOT_FOUND, and what
 * bundle_store_look says. */
status_code_t bundle_store_find(const bundle_store_t *self, const char *ns, const char *id,
                                msgpack_zone *zone, msg_bundle_t *ret, status_t *st);

/* What was seen of one as it is answered. */
void bundle_store_describe(const bundle_store_t *self, const char *ns, const char *id,
                           const bundle_state_t *state, msgpack_zone *zone, msg_bundle_t *ret);

/* A copy in `zone`. */
const char *bundle_store_keep(msgpack_zone *zone, const char *text);

/* Namespace and id as every function here takes them. INVALID_ARGUMENT says which is wrong. */
status_code_t bundle_store_check(const char *ns, const char *id, status_t *st);

/* Calls `visit` for each namespace's directory below the subdirectory `part` ("task", "quarantine")
 * of `base`, which is RUN or ROOT; `fd` is closed after the call. One that cannot be opened is
 * logged and passed over, so that it does not keep others from being seen. Stops at the first
 * failure. */
typedef status_code_t bundle_store_visit_t(void *arg, int fd, const char *ns, status_t *st);
status_code_t bundle_store_each_ns(int base, const char *part, bundle_store_visit_t *visit,
                                   void *arg, status_t *st);

#endif
