/* Directories and small files reached through descriptors only. */
#include "workers/bundle/bundle_dir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <uuid/uuid.h>

#define OPEN_TRIES  8 /* openat2 answers EAGAIN when a rename elsewhere raced with it */
#define ID_IN_NAME  200
#define UUID_LENGTH (UTIL_UUID_SIZE - 1)

int bundle_dir_open(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int bundle_dir_open_inside(int parent, const char *name, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
    long fd = -1;
    for (int i = 0; i < OPEN_TRIES; i++) {
        fd = syscall(SYS_openat2, parent, name, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return (int)fd;
}

int bundle_dir_make(int parent, const char *name, mode_t mode, bool *made)
{
    bool is_new = mkdirat(parent, name, mode) == 0;
    if (!is_new && errno != EEXIST)
        return -1;
    int fd = bundle_dir_open(parent, name);
    if (is_new && (fd < 0 || fchmod(fd, mode))) {
        int why = errno;
        util_close(&fd);
        unlinkat(parent, name, AT_REMOVEDIR);
        errno = why;
        return -1;
    }
    if (made && fd >= 0)
        *made = is_new;
    return fd;
}

int bundle_dir_write(int parent, const char *name, mode_t mode, const void *data, size_t size)
{
    AUTO_CLOSE int fd =
        openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 || fchmod(fd, mode))
        return -1;
    for (const char *at = data; size > 0;) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

off_t bundle_dir_file_size(int parent, const char *name)
{
    AUTO_CLOSE int fd = bundle_dir_open_inside(parent, name, O_PATH);
    struct stat info;
    return fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode) ? -1 : info.st_size;
}

ssize_t bundle_dir_read(int parent, const char *name, char *text, size_t size)
{
    if (bundle_dir_file_size(parent, name) < 0) {
        errno = EINVAL;
        return -1;
    }
    AUTO_CLOSE int fd = bundle_dir_open_inside(parent, name, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return -1;
    size_t used = 0;
    while (used < size) {
        ssize_t count = read(fd, text + used, size - used);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        used += (size_t)count;
    }
    if (used == size) {
        errno = EFBIG;
        return -1;
    }
    text[used] = '\0';
    return (ssize_t)used;
}

bool bundle_dir_has(int parent, const char *name)
{
    AUTO_CLOSE int fd = bundle_dir_open_inside(parent, name, O_PATH);
    return fd >= 0 || errno != ENOENT;
}

DIR *bundle_dir_list(int fd)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = own < 0 ? NULL : fdopendir(own);
    if (!stream)
        util_close(&own);
    return stream;
}

struct dirent *bundle_dir_next(DIR *stream)
{
    struct dirent *entry;
    do
        entry = readdir(stream);
    while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
    return entry;
}

bool bundle_dir_is_empty(int fd)
{
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return false;
    errno = 0;
    bool empty = !bundle_dir_next(stream) && errno == 0;
    closedir(stream);
    return empty;
}

bool bundle_dir_is_uuid(const char *text)
{
    uuid_t uuid;
    return strlen(text) == UUID_LENGTH && uuid_parse(text, uuid) == 0;
}

void bundle_dir_hidden_name(char name[BUNDLE_DIR_NAME_SIZE], const char *id, const char *kind,
                            const char *uuid)
{
    assert(bundle_dir_is_uuid(uuid));
    snprintf(name, BUNDLE_DIR_NAME_SIZE, ".%.*s.%s-%s", ID_IN_NAME, id, kind, uuid);
}

bool bundle_dir_is_hidden(const char *name, const char *kind)
{
    size_t length = strlen(name);
    size_t tail = 1 + strlen(kind) + 1 + UUID_LENGTH; /* ".del-UUID" */
    if (name[0] != '.' || length < 1 + 1 + tail)
        return false;
    const char *mark = name + length - tail;
    return mark[0] == '.' && !strncmp(mark + 1, kind, strlen(kind)) &&
           mark[1 + strlen(kind)] == '-' && bundle_dir_is_uuid(name + length - UUID_LENGTH);
}

void bundle_dir_fresh_name(char name[BUNDLE_DIR_NAME_SIZE], const char *id)
{
    char uuid[UTIL_UUID_SIZE];
    util_uuid(uuid);
    bundle_dir_hidden_name(name, id, BUNDLE_DIR_DEL, uuid);
}

void bundle_dir_hidden_id(const char *name, char id[BUNDLE_DIR_NAME_SIZE])
{
    assert(bundle_dir_is_hidden(name, BUNDLE_DIR_NEW) ||
           bundle_dir_is_hidden(name, BUNDLE_DIR_DEL));
    size_t tail = strlen("." BUNDLE_DIR_DEL "-") + UUID_LENGTH; /* both kinds are as long */
    snprintf(id, BUNDLE_DIR_NAME_SIZE, "%.*s", (int)(strlen(name) - 1 - tail), name + 1);
}

int bundle_dir_hide(int parent, const char *name, const char *hidden)
{
    return renameat2(parent, name, parent, hidden, RENAME_NOREPLACE);
}
