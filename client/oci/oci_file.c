/* Reading small text files whole: the user's own, and those inside a container's root. */
#include "client/oci/oci_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"

/* Fills `buffer`, which holds size_max + 2 bytes: one more tells "too long", one is the NUL.
 * Returns 0, or -1 with errno; EFBIG when the file is too long, EILSEQ for a NUL byte. */
static int read_whole(int fd, char *buffer, size_t size_max)
{
    size_t size = 0;
    while (size <= size_max) {
        ssize_t count = read(fd, buffer + size, size_max + 1 - size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        size += (size_t)count;
    }
    if (size > size_max) {
        errno = EFBIG;
        return -1;
    }
    buffer[size] = '\0';
    if (strlen(buffer) != size) {
        errno = EILSEQ;
        return -1;
    }
    return 0;
}

static status_code_t read_and_close(int fd, const char *name, size_t size_max, char **ret,
                                    status_t *st)
{
    AUTO_FREE char *buffer = malloc(size_max + 2);
    if (!buffer)
        abort();
    int failed = read_whole(fd, buffer, size_max);
    int error = errno;
    close(fd);
    if (failed && error == EFBIG)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: longer than %zu bytes", name, size_max);
    if (failed && error == EILSEQ)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: no text, it has a NUL byte in it",
                          name);
    if (failed)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: read: %s", name, strerror(error));
    *ret = TAKE(buffer);
    return STATUS_OK;
}

status_code_t oci_file_read(const char *flag, const char *path, size_t size_max, char **ret,
                            status_t *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s %s: %s", flag, path, strerror(errno));
    AUTO_FREE char *name = util_format("%s %s", flag, path);
    return read_and_close(fd, name, size_max, ret, st);
}

static int open_inside(const char *root, const char *path)
{
    AUTO_CLOSE int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return -1;
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
}

status_code_t oci_file_read_inside(const char *root, const char *path, size_t size_max, char **ret,
                                   status_t *st)
{
    *ret = NULL;
    int fd = open_inside(root, path);
    if (fd < 0 && errno == ENOENT)
        return STATUS_OK;
    if (fd < 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s in %s: %s", path, root, strerror(errno));
    struct stat stat;
    if (fstat(fd, &stat) || !S_ISREG(stat.st_mode)) {
        close(fd);
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s in %s: not a regular file", path, root);
    }
    AUTO_FREE char *name = util_format("%s in %s", path, root);
    return read_and_close(fd, name, size_max, ret, st);
}
