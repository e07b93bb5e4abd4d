/* Looks at the paths of a request before anything is done for it. What is on a file system of this
 * machine is looked at on the spot; what may hang, by a child: only the request waits for it. */
#ifndef SHIMD_SHIM_LOOK_H
#define SHIMD_SHIM_LOOK_H

#include "common/io_set.h"
#include "common/status.h"

typedef enum look_kind {
    LOOK_INPUT,     /* is there, and no directory */
    LOOK_OUTPUT,    /* the same; of a fifo, which somebody must read, the write end is opened */
    LOOK_LOGGER,    /* may be executed */
    LOOK_RUNTIME,   /* likewise, and is a file */
    LOOK_DIRECTORY, /* is one */
} look_kind_t;

#define LOOKS_MAX 5 /* of a request */

typedef struct looks looks_t;

looks_t *looks_new(void);

/* `name` is the field, static, and begins the sentences of failures. The first `size` bytes of
 * `path` are copied. */
void looks_add(looks_t *self, look_kind_t kind, const char *name, const char *path, size_t size);

/* Called once, perhaps before looks_begin returns. FAILED_PRECONDITION or INVALID_ARGUMENT names
 * the field and the path that are not as they should be, DEADLINE_EXCEEDED those that hang. Frees
 * `looks` after it. */
typedef void looks_done_t(void *arg, looks_t *looks, const status_t *st);
void looks_begin(looks_t *self, io_set_t *io, int64_t timeout_ms, looks_done_t *done, void *arg);

/* For `done`: the write end of that field's fifo, which is the caller's; -1 when there is none. */
int looks_take(looks_t *self, const char *name);

void looks_free(looks_t *self);

#endif
