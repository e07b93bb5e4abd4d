/* Directories of fifos. */
#include "common/fifos.h"

#include "common/util.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#define DIR_MODE 0700
#define DIR_HEX  16 /* characters of a directory's name */
#define HEX      "0123456789abcdef"
#define OWNER    "owner"

static const char *const suffixes[FIFOS_STREAMS] = {"stdin", "stdout", "stderr"};

const char *fifos_suffix(int stream)
{
    return suffixes[stream];
}

/* Making ----------------------------------------------------------------------------------------
 */

char *fifos_dir_name(const char *parent)
{
    uuid_t uuid;
    char hex[2 * sizeof uuid + 1];
    uuid_generate_random(uuid);
    util_hex(uuid, DIR_HEX / 2, hex);
    return util_format("%s/%s", parent, hex);
}

/* Of a path with `size` characters. */
static bool is_dir_name(const char *path, size_t size)
{
    if (*path != '/' || size < DIR_HEX + 1)
        return false;
    const char *hex = path + size - DIR_HEX;
    return hex[-1] == '/' && strspn(hex, HEX) == DIR_HEX;
}

bool fifos_is_dir_name(const char *path)
{
    return is_dir_name(path, strlen(path));
}

static status_code_t make_parent(const char *dir, status_t *st)
{
    AUTO_FREE char *parent = strndup(dir, (size_t)(strrchr(dir, '/') - dir));
    if (parent && mkdir(parent, DIR_MODE) && errno != EEXIST)
        return status_errno(st, errno, "make fifos: mkdir %s", parent);
    return STATUS_OK;
}

status_code_t fifos_make_dir(const char *dir, const char *owner, status_t *st)
{
    AUTO_FREE char *link = util_format("%s/" OWNER, dir);
    if (make_parent(dir, st))
        return st->code;
    if (mkdir(dir, DIR_MODE))
        return status_errno(st, errno, "make fifos: mkdir %s", dir);
    if (owner && symlink(owner, link)) {
        status_errno(st, errno, "make fifos: symlink %s", link);
        (void)rmdir(dir);
        return st->code;
    }
    return STATUS_OK;
}

/* Removing --------------------------------------------------------------------------------------
 */

bool fifos_is_fifo(const char *path)
{
    struct stat info;
    return path && *path == '/' && !lstat(path, &info) && S_ISFIFO(info.st_mode);
}

void fifos_remove_dir(const char *dir)
{
    struct stat info;
    AUTO_FREE char *link = util_format("%s/" OWNER, dir);
    if (!lstat(link, &info) && S_ISLNK(info.st_mode))
        (void)unlink(link);
    (void)rmdir(dir); /* fails until the last fifo in it is gone */
}

void fifos_clear_dir(const char *dir)
{
    DIR *entries = opendir(dir);
    const struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        AUTO_FREE char *path = util_format("%s/%s", dir, entry->d_name);
        if (fifos_is_fifo(path))
            (void)unlink(path);
    }
    if (entries)
        closedir(entries);
    fifos_remove_dir(dir);
}

/* Whether the path is DIR/HEX/NAME-stdin or the like; its directory's length in `dir_size`. */
static bool is_fifo_of(const char *name, const char *path, size_t *dir_size)
{
    const char *slash = strrchr(path, '/');
    size_t name_size = strlen(name);
    if (!slash || strncmp(slash + 1, name, name_size) || slash[1 + name_size] != '-')
        return false;
    const char *suffix = slash + name_size + 2;
    bool is_known = false;
    for (int i = 0; i < FIFOS_STREAMS; i++)
        is_known = is_known || !strcmp(suffix, suffixes[i]);
    *dir_size = (size_t)(slash - path);
    return is_known && is_dir_name(path, *dir_size) && fifos_is_fifo(path);
}

void fifos_remove(const char *name, const char *const paths[FIFOS_STREAMS])
{
    for (int i = 0; i < FIFOS_STREAMS; i++) {
        size_t dir_size;
        if (!paths[i] || !is_fifo_of(name, paths[i], &dir_size))
            continue;
        AUTO_FREE char *dir = strndup(paths[i], dir_size);
        (void)unlink(paths[i]);
        if (dir)
            fifos_remove_dir(dir);
    }
}

static bool is_of_nobody(const char *link, const char *gone)
{
    char owner[PATH_MAX];
    struct stat info;
    ssize_t size = readlink(link, owner, sizeof owner - 1);
    if (size < 0)
        return false;
    owner[size] = '\0';
    return !strcmp(owner, gone) || (stat(owner, &info) && errno == ENOENT);
}

void fifos_sweep(const char *parent, const char *gone)
{
    DIR *entries = opendir(parent);
    const struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        AUTO_FREE char *path = util_format("%s/%s", parent, entry->d_name);
        AUTO_FREE char *link = util_format("%s/" OWNER, path);
        if (fifos_is_dir_name(path) && is_of_nobody(link, gone))
            fifos_clear_dir(path);
    }
    if (entries)
        closedir(entries);
}
