/* The requests that have begun to change a task. */
#include "workers/shim/begun.h"

#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define NAME "begun"

static int open_file(const char *bundle, int flags)
{
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? -1 : openat(dir, NAME, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void append(begun_t *self, const msg_uuid_t *id)
{
    if (!self->ids) {
        self->ids = calloc(BEGUN_MAX, sizeof *self->ids);
        if (!self->ids)
            abort();
    }
    self->ids[self->count++] = *id;
}

void begun_load(begun_t *self, const char *bundle)
{
    msg_uuid_t id;
    AUTO_CLOSE int fd = open_file(bundle, O_RDONLY);
    while (fd >= 0 && self->count < BEGUN_MAX && read(fd, &id, sizeof id) == sizeof id)
        append(self, &id);
}

/* The newer half stays. A death in between leaves the whole or the half, both good. */
static void forget_older_half(begun_t *self, const char *bundle)
{
    self->count = BEGUN_MAX / 2;
    memmove(self->ids, self->ids + BEGUN_MAX / 2, self->count * sizeof *self->ids);
    AUTO_CLOSE int fd = open_file(bundle, O_WRONLY | O_CREAT | O_TRUNC);
    ssize_t size = (ssize_t)(self->count * sizeof *self->ids);
    if (fd < 0 || write(fd, self->ids, (size_t)size) != size)
        log_warn("%s/" NAME ": %s", bundle, strerror(errno));
}

void begun_add(begun_t *self, const char *bundle, const msg_uuid_t *id)
{
    if (begun_has(self, id))
        return;
    if (self->count == BEGUN_MAX)
        forget_older_half(self, bundle);
    append(self, id);
    AUTO_CLOSE int fd = open_file(bundle, O_WRONLY | O_CREAT | O_APPEND);
    if (fd < 0 || write(fd, id, sizeof *id) != sizeof *id)
        log_warn("%s/" NAME ": %s", bundle, strerror(errno));
}

bool begun_has(const begun_t *self, const msg_uuid_t *id)
{
    for (size_t i = self->count; i-- > 0;)
        if (!memcmp(&self->ids[i], id, sizeof *id))
            return true;
    return false;
}

void begun_clear(begun_t *self)
{
    free(self->ids);
    *self = (begun_t){0};
}
