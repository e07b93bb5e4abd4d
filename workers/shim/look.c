/* Looks at the paths of a request. */
#include "workers/shim/look.h"

#include "common/errand.h"
#include "common/local_path.h"
#include "common/util.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

typedef struct look {
    look_kind_t kind;
    const char *name;
    char *path; /* owned */
    int hold;   /* -1 when there is none */
} look_t;

struct looks {
    look_t items[LOOKS_MAX];
    size_t count, at;
    io_set_t *io;
    int64_t timeout_ms;
    looks_done_t *done;
    void *arg;
};

looks_t *looks_new(void)
{
    return zmalloc(sizeof(looks_t));
}

void looks_add(looks_t *self, look_kind_t kind, const char *name, const char *path, size_t size)
{
    assert(self->count < LOOKS_MAX);
    self->items[self->count++] = (look_t){
        .kind = kind, .name = name, .path = util_format("%.*s", (int)size, path), .hold = -1};
}

int looks_take(looks_t *self, const char *name)
{
    int hold = -1;
    for (size_t i = 0; i < self->count; i++)
        if (!strcmp(self->items[i].name, name)) {
            hold = self->items[i].hold;
            self->items[i].hold = -1;
        }
    return hold;
}

void looks_free(looks_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free(self->items[i].path);
        util_close(&self->items[i].hold);
    }
    free(self);
}

/* One of them: `where` leads to what is at its path, and may hang. Children run this, too, so no
 * memory is allocated. The write end that it holds, or -1
 * ------------------------------------------
 */

static void fail(const look_t *look, int error, status_t *st)
{
    if (look->kind == LOOK_RUNTIME)
        status_set(st, STATUS_FAILED_PRECONDITION, "runtime %s: no such executable", look->path);
    else if (look->kind == LOOK_DIRECTORY)
        status_set(st, STATUS_FAILED_PRECONDITION, "%s: %s is not a directory", look->name,
                   look->path);
    else
        status_set(st, STATUS_FAILED_PRECONDITION, "%s: %s%s: %s", look->name,
                   look->kind == LOOK_LOGGER ? "logger " : "", look->path, strerror(error));
}

/* Opening the write end without waiting fails just when nobody has the read end open. */
static int hold_reader(const look_t *look, const char *where, status_t *st)
{
    int hold = open(where, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (hold < 0 && errno == ENXIO)
        status_set(st, STATUS_FAILED_PRECONDITION, "%s: nobody reads the fifo %s", look->name,
                   look->path);
    else if (hold < 0)
        fail(look, errno, st);
    return hold;
}

static int look_at(const look_t *look, const char *where, status_t *st)
{
    struct stat info;
    bool runs = look->kind == LOOK_LOGGER || look->kind == LOOK_RUNTIME;
    if (stat(where, &info) || (runs && access(where, X_OK)))
        fail(look, errno, st);
    else if (look->kind == LOOK_RUNTIME && !S_ISREG(info.st_mode))
        fail(look, EACCES, st);
    else if (look->kind == LOOK_DIRECTORY && !S_ISDIR(info.st_mode))
        fail(look, ENOTDIR, st);
    else if ((look->kind == LOOK_INPUT || look->kind == LOOK_OUTPUT) && S_ISDIR(info.st_mode))
        status_set(st, STATUS_INVALID_ARGUMENT, "%s: %s is a directory", look->name, look->path);
    else if (look->kind == LOOK_OUTPUT && S_ISFIFO(info.st_mode))
        return hold_reader(look, where, st);
    return -1;
}

static int look_from_child(const void *arg, status_t *st)
{
    const looks_t *self = arg;
    const look_t *look = &self->items[self->at];
    return look_at(look, look->path, st);
}

/* All of them ------------------------------------------------------------------------------------
 */

static void finish(looks_t *self, const status_t *st)
{
    self->done(self->arg, self, st);
    looks_free(self);
}

/* True when there was no need to wait. */
static bool look_here(look_t *look, status_t *st)
{
    char where[64];
    AUTO_CLOSE int fd = local_path_open(look->path);
    if (fd < 0 && errno == EAGAIN)
        return false;
    snprintf(where, sizeof where, "/proc/self/fd/%d", fd);
    if (fd < 0)
        fail(look, errno, st);
    else
        look->hold = look_at(look, where, st);
    return true;
}

static void on_looked(void *arg, const status_t *st, int fd);

static void go_on(looks_t *self)
{
    status_t st = {.code = STATUS_OK};
    while (self->at < self->count && look_here(&self->items[self->at], &st) && !st.code)
        self->at++;
    if (st.code || self->at == self->count)
        finish(self, &st);
    else
        errand_begin(self->io, self->timeout_ms, look_from_child, on_looked, self);
}

static void on_looked(void *arg, const status_t *st, int fd)
{
    looks_t *self = arg;
    look_t *look = &self->items[self->at];
    status_t outcome = *st;
    look->hold = fd;
    bool is_unseen = outcome.code == STATUS_DEADLINE_EXCEEDED ||
                     outcome.code == STATUS_RESOURCE_EXHAUSTED || outcome.code == STATUS_INTERNAL;
    if (is_unseen) /* what was seen tells the name itself */
        status_wrap(&outcome, "%s: %s", look->name, look->path);
    if (outcome.code) {
        finish(self, &outcome);
        return;
    }
    self->at++;
    go_on(self);
}

void looks_begin(looks_t *self, io_set_t *io, int64_t timeout_ms, looks_done_t *done, void *arg)
{
    self->io = io;
    self->timeout_ms = timeout_ms;
    self->done = done;
    self->arg = arg;
    go_on(self);
}
