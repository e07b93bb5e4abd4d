/* Where the log of a container is, and how its files are named. */
#include "logger/log_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *log_dir_path(const char *root_dir, const char *ns, const char *id, int64_t created_at,
                   const char *exec_id)
{
    char *path = NULL;
    int size = asprintf(&path, "%s/%s/%s/%s/%" PRId64 "%s%s", root_dir, LOG_DIR_ROOT, ns, id,
                        created_at, exec_id ? "/" LOG_DIR_EXEC "/" : "", exec_id ? exec_id : "");
    return size < 0 ? NULL : path;
}

void log_dir_name(uint64_t number, char name[LOG_DIR_NAME_SIZE])
{
    snprintf(name, LOG_DIR_NAME_SIZE, "%010" PRIu64, number % (LOG_DIR_LAST + 1));
}

uint64_t log_dir_number(const char *name)
{
    size_t length = strlen(name);
    if (length != LOG_DIR_NAME_SIZE - 1 || strspn(name, "0123456789") != length)
        return 0;
    return strtoull(name, NULL, 10);
}

bool log_dir_range(int fd, uint64_t from, uint64_t *lowest, uint64_t *highest)
{
    *lowest = *highest = 0;
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = own < 0 ? NULL : fdopendir(own);
    if (!stream) {
        int error = errno;
        if (own >= 0)
            close(own);
        errno = error;
        return false;
    }
    for (struct dirent *entry; (entry = readdir(stream));) {
        uint64_t number = log_dir_number(entry->d_name);
        if (number > *highest)
            *highest = number;
        if (number && number >= from && (!*lowest || number < *lowest))
            *lowest = number;
    }
    closedir(stream);
    return true;
}
