/* Paths that somebody else chose. */
#include "common/local_path.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Asked of anything but /proc, the file system itself might have to answer. */
static int mount_of(int fd)
{
    char path[64], line[128];
    int mount = -1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    if (!info)
        return -1;
    while (mount < 0 && fgets(line, sizeof line, info))
        (void)sscanf(line, "mnt_id: %d", &mount);
    fclose(info);
    return mount;
}

static bool is_local_type(const char *type)
{
    static const char *const types[] = {"tmpfs", "ext4",  "xfs",      "overlay", "btrfs",
                                        "ext3",  "ext2",  "devtmpfs", "ramfs",   "rootfs",
                                        "f2fs",  "erofs", "squashfs", "bcachefs"};
    size_t size = strcspn(type, " ");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strlen(types[i]) == size && !strncmp(types[i], type, size))
            return true;
    return false;
}

/* See proc_pid_mountinfo(5). What most paths are on was mounted early, and is found early. */
static bool is_local_mount(int mount)
{
    static const char separator[] = " - ";
    FILE *mounts = mount < 0 ? NULL : fopen("/proc/self/mountinfo", "re");
    AUTO_FREE char *line = NULL;
    size_t room = 0;
    bool is_local = false, is_found = false;
    if (!mounts)
        return false;
    while (!is_found && getline(&line, &room, mounts) > 0) {
        const char *end = strstr(line, separator);
        is_found = atoi(line) == mount;
        is_local = is_found && end && is_local_type(end + strlen(separator));
    }
    fclose(mounts);
    return is_local;
}

int local_path_open(const char *path)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd < 0) {
        if (errno == ENOSYS || errno == EINVAL || errno == EPERM) /* a kernel before 5.12 */
            errno = EAGAIN;
        return -1;
    }
    if (is_local_mount(mount_of(fd)))
        return fd;
    close(fd);
    errno = EAGAIN;
    return -1;
}
