/* Removing a directory tree without ever leaving it. */
#include "workers/bundle/bundle_tree.h"

#include "workers/bundle/bundle_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

typedef struct tree {
    int top;        /* the tree's own directory; -1 until it is open */
    status_t first; /* first failure; the walk goes on past it */
} tree_t;

static bool empty_directory(tree_t *tree, int fd, unsigned depth);

/* False, so that callers can return it. */
static bool keep_failure(tree_t *tree, const char *name, int why)
{
    if (tree->first.code)
        return false;
    if (why == EXDEV || why == EBUSY)
        status_set(&tree->first, STATUS_FAILED_PRECONDITION, "remove %s: it is a mount point",
                   name);
    else
        status_errno(&tree->first, why, "remove %s", name);
    return false;
}

/* Moves a directory that lies too deep to the top, where its depth starts anew. */
static bool move_up(tree_t *tree, int parent, const char *name)
{
    char fresh[UTIL_UUID_SIZE];
    util_uuid(fresh);
    if (renameat(parent, name, tree->top, fresh) == 0 || errno == ENOENT)
        return true;
    return keep_failure(tree, name, errno);
}

static bool remove_directory(tree_t *tree, int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return keep_failure(tree, name, errno);
    if (depth == BUNDLE_TREE_DEPTH_MAX)
        return move_up(tree, parent, name);
    AUTO_CLOSE int fd = bundle_dir_open_inside(parent, name, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT || keep_failure(tree, name, errno);
    if (tree->top < 0)
        tree->top = fd;
    if (!empty_directory(tree, fd, depth))
        return false;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    return keep_failure(tree, name, errno);
}

static bool remove_entry(tree_t *tree, int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno == EISDIR)
        return remove_directory(tree, parent, name, depth);
    return keep_failure(tree, name, errno);
}

/* Repeats until a whole pass finds nothing: directories may be moved up meanwhile, and a stream may
 * skip entries of a directory that changes. */
static bool empty_directory(tree_t *tree, int fd, unsigned depth)
{
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return keep_failure(tree, "a directory", errno);
    bool all = true, found;
    do {
        found = false;
        rewinddir(stream);
        for (struct dirent *entry; (entry = bundle_dir_next(stream));) {
            found = true;
            all = remove_entry(tree, fd, entry->d_name, depth + 1) && all;
        }
    } while (found && all);
    closedir(stream);
    return all;
}

status_code_t bundle_tree_remove(int parent, const char *name, status_t *st)
{
    tree_t tree = {.top = -1};
    if (remove_entry(&tree, parent, name, 0)) {
        status_clear(st);
        return STATUS_OK;
    }
    *st = tree.first;
    return st->code;
}
