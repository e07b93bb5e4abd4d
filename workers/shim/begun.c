/* The requests that have begun to change a task. */
#include "workers/shim/begun.h"

#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define NAME "begun"

static int open_file(const char *bundle, int flags)
{
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? -1 : openat(dir, NAME, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static begun_entry_t *find(const begun_t *self, const msg_uuid_t *id, begun_kind_t kind)
{
    for (size_t i = self->count; i-- > 0;)
        if (self->entries[i].kind == (char)kind && !memcmp(&self->entries[i].id, id, sizeof *id))
            return &self->entries[i];
    return NULL;
}

static void append(begun_t *self, const begun_entry_t *entry)
{
    if (entry->kind == BEGUN_RECORDED) {
        begun_entry_t *answered = find(self, &entry->id, BEGUN_ANSWERED);
        if (answered)
            answered->kind = BEGUN_RECORDED;
        return;
    }
    if (!self->entries) {
        self->entries = calloc(BEGUN_MAX, sizeof *self->entries);
        if (!self->entries)
            abort();
    }
    self->entries[self->count++] = *entry;
}

void begun_load(begun_t *self, const char *bundle)
{
    begun_entry_t entry;
    begun_clear(self); /* what was added before is in the file as well */
    AUTO_CLOSE int fd = open_file(bundle, O_RDONLY);
    while (fd >= 0 && self->count < BEGUN_MAX && read(fd, &entry, sizeof entry) == sizeof entry)
        append(self, &entry);
}

/* The newer half stays. A death in between leaves the whole or the half, both good. */
static void forget_older_half(begun_t *self, const char *bundle)
{
    self->count = BEGUN_MAX / 2;
    memmove(self->entries, self->entries + BEGUN_MAX / 2, self->count * sizeof *self->entries);
    AUTO_CLOSE int fd = open_file(bundle, O_WRONLY | O_CREAT | O_TRUNC);
    ssize_t size = (ssize_t)(self->count * sizeof *self->entries);
    if (fd < 0 || write(fd, self->entries, (size_t)size) != size)
        log_warn("%s/" NAME ": %s", bundle, strerror(errno));
}

/* A death, or a disk that was full, may have cut the last entry short: it is nobody's, and those
 * after it have to be found. */
static void drop_torn(int fd)
{
    struct stat info;
    off_t torn = fstat(fd, &info) ? 0 : info.st_size % (off_t)sizeof(begun_entry_t);
    if (torn && ftruncate(fd, info.st_size - torn))
        log_warn(NAME ": drop an entry that was cut short: %s", strerror(errno));
}

bool begun_add(begun_t *self, const char *bundle, const msg_uuid_t *id, begun_kind_t kind)
{
    const begun_entry_t entry = {.id = *id, .kind = (char)kind};
    if (find(self, id, kind))
        return true;
    if (self->count == BEGUN_MAX)
        forget_older_half(self, bundle);
    append(self, &entry);
    AUTO_CLOSE int fd = open_file(bundle, O_WRONLY | O_CREAT | O_APPEND);
    if (fd >= 0)
        drop_torn(fd);
    bool is_written = fd >= 0 && write(fd, &entry, sizeof entry) == sizeof entry;
    if (!is_written)
        log_warn("%s/" NAME ": %s", bundle, strerror(errno));
    return is_written;
}

bool begun_has(const begun_t *self, const msg_uuid_t *id, begun_kind_t kind)
{
    return find(self, id, kind);
}

void begun_clear(begun_t *self)
{
    free(self->entries);
    *self = (begun_t){0};
}
