/* Directories and small files reached through descriptors only: no symlink is followed, and nothing
 * here can wait for a fifo, a device or a mounted filesystem that hangs. */
#ifndef SHIMD_BUNDLE_DIR_H
#define SHIMD_BUNDLE_DIR_H

#include "common/util.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens the directory `name` of `parent`. The result may be the root of a mount. -1 with errno;
 * ENOTDIR for a symlink. */
int bundle_dir_open(int parent, const char *name);

/* Opens `name` of `parent` without entering a mount, by openat2(2) with RESOLVE_NO_XDEV: -1 with
 * EXDEV when something is mounted on it, before the mounted filesystem is touched. `flags` as
 * open(2) takes them. */
int bundle_dir_open_inside(int parent, const char *name, int flags);

/* Makes the directory `name` with exactly `mode`, whatever the umask, unless it is there, and opens
 * it. `made`, which may be NULL, is set to true when it was made. -1 with errno, and nothing made.
 */
int bundle_dir_make(int parent, const char *name, mode_t mode, bool *made);

/* Makes the file `name` with exactly `mode` and content. -1 with errno; a part may then be left. */
int bundle_dir_write(int parent, const char *name, mode_t mode, const void *data, size_t size);

/* Reads at most `size` - 1 bytes of the regular file `name` into `text` and ends them with NUL. The
 * number of bytes, or -1 with errno: EINVAL when it is no regular file, EFBIG when it is longer. */
ssize_t bundle_dir_read(int parent, const char *name, char *text, size_t size);

/* The size of the regular file `name`, -1 when there is none. */
off_t bundle_dir_file_size(int parent, const char *name);

/* Whether anything, of whatever kind, has that name. */
bool bundle_dir_has(int parent, const char *name);

/* A stream over the entries of `fd`, whose offset is not disturbed; NULL with errno. The caller
 * closes it. bundle_dir_next skips "." and ".." and returns NULL at the end and on errors. */
DIR *bundle_dir_list(int fd);
struct dirent *bundle_dir_next(DIR *stream);

/* Whether `fd` has no entries; false too when it cannot be read. */
bool bundle_dir_is_empty(int fd);

/* Left-overs are kept under hidden names, which no identifier can be:
 * ".ID.new-UUID" while a directory is being made, ".ID.del-UUID" once it is to be removed. */
#define BUNDLE_DIR_NEW       "new"
#define BUNDLE_DIR_DEL       "del"
#define BUNDLE_DIR_NAME_SIZE 256 /* NAME_MAX and NUL */
void bundle_dir_hidden_name(char name[BUNDLE_DIR_NAME_SIZE], const char *id, const char *kind,
                            const char *uuid);
bool bundle_dir_is_hidden(const char *name, const char *kind);

/* A ".ID.del-UUID" that nothing has yet. */
void bundle_dir_fresh_name(char name[BUNDLE_DIR_NAME_SIZE], const char *id);

/* The ID of a hidden name of either kind. */
void bundle_dir_hidden_id(const char *name, char id[BUNDLE_DIR_NAME_SIZE]);

/* Renames `name` to `hidden` beside it, which must not be there; 0, or -1 with errno: EBUSY when
 * something is mounted on it. Mounts inside move along. */
int bundle_dir_hide(int parent, const char *name, const char *hidden);

/* Whether text is a UUID in its 36-character form. */
bool bundle_dir_is_uuid(const char *text);

#endif
