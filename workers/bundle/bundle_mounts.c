/* What is mounted below a directory, and unmounting it. */
#include "workers/bundle/bundle_mounts.h"

#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#define MOUNTINFO     "/proc/self/mountinfo"
#define READ_SIZE     (64 << 10)
#define PAUSE_MS      50
#define PASSES_MAX    1000 /* each unmounts something: against someone who mounts for ever */
#define MOUNT_POINT_N 5    /* field of a mountinfo line, proc_pid_mountinfo(5) */

/* Undoes the kernel's octal escapes (space, tab, newline, backslash) in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned value;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else
            *to = *from++;
    }
    *to = '\0';
}

static char *mount_point_of(char *line)
{
    char *rest = line, *field = NULL;
    for (int i = 0; i < MOUNT_POINT_N; i++)
        field = strsep(&rest, " ");
    if (field)
        unescape(field);
    return field;
}

static bool is_at_or_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return !strncmp(path, top, length) && (path[length] == '/' || path[length] == '\0');
}

static int compare_deepest_first(const void *a, const void *b)
{
    size_t x = strlen(a), y = strlen(b);
    return x < y ? 1 : x > y ? -1 : strcmp(a, b);
}

static void free_text(void **item)
{
    free(*item);
    *item = NULL;
}

/* Mount points at or below `top`, deepest first, one entry for each mount; NULL with errno. */
static zlistx_t *mounts_below(const char *top)
{
    FILE *file = fopen(MOUNTINFO, "re");
    if (!file)
        return NULL;
    /* The fewer reads, the less the table changes between them. */
    setvbuf(file, NULL, _IOFBF, READ_SIZE);
    zlistx_t *found = zlistx_new();
    zlistx_set_destructor(found, free_text);
    zlistx_set_comparator(found, compare_deepest_first);
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    errno = 0;
    while (getline(&line, &size, file) > 0) {
        char *path = mount_point_of(line);
        if (path && is_at_or_below(path, top))
            zlistx_add_end(found, util_strdup(path));
    }
    int why = ferror(file) ? errno : 0;
    fclose(file);
    if (why) {
        zlistx_destroy(&found);
        errno = why;
        return NULL;
    }
    zlistx_sort(found);
    return found;
}

/* The path the kernel knows a directory by, whatever symlinks lead to it; NULL with errno. The
 * caller frees. */
static char *real_path(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    if (length < 0)
        return NULL;
    if (length == (ssize_t)sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    path[length] = '\0';
    return util_strdup(path);
}

bool bundle_mounts_any(int parent, const char *name)
{
    AUTO_FREE char *base = real_path(parent);
    if (!base)
        return true;
    AUTO_FREE char *top = util_format("%s/%s", base, name);
    zlistx_t *found = mounts_below(top);
    if (!found)
        return true;
    bool any = zlistx_size(found) > 0;
    zlistx_destroy(&found);
    return any;
}

/* Unmounts the topmost mount on `path`, relative to `parent`. The directory that holds the mount
 * point is resolved without symlinks first: whoever owns the mounted tree could otherwise point its
 * last steps at any mount of the host. 0, or -1 with errno. */
static int unmount_one(int parent, const char *path)
{
    AUTO_FREE char *copy = util_strdup(path);
    char *slash = strrchr(copy, '/');
    const char *leaf = slash ? slash + 1 : copy;
    if (slash)
        *slash = '\0';
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
    AUTO_CLOSE int holder = (int)syscall(SYS_openat2, parent, slash ? copy : ".", &how, sizeof how);
    if (holder < 0)
        return -1;
    AUTO_FREE char *target = util_format("/proc/self/fd/%d/%s", holder, leaf);
    return umount2(target, UMOUNT_NOFOLLOW);
}

typedef struct pass {
    size_t found, unmounted;
    int why; /* errno of the first mount that stayed */
    char path[PATH_MAX];
} pass_t;

/* One round over all that is mounted. A mount that another one hides cannot be reached (EINVAL,
 * ENOENT) and keeps the one below it busy, so failures count only when a whole round did nothing.
 */
static int unmount_pass(int parent, const char *base, const char *top, pass_t *pass)
{
    zlistx_t *found = mounts_below(top);
    if (!found)
        return -1;
    *pass = (pass_t){.found = zlistx_size(found)};
    for (const char *path = zlistx_first(found); path; path = zlistx_next(found)) {
        if (unmount_one(parent, path + strlen(base) + 1) == 0) {
            pass->unmounted++;
        } else if (!pass->why || pass->why == EINVAL || pass->why == ENOENT) {
            pass->why = errno;
            snprintf(pass->path, sizeof pass->path, "%s", path);
        }
    }
    zlistx_destroy(&found);
    return 0;
}

static status_code_t unmount_failed(const pass_t *pass, status_t *st)
{
    if (pass->why == EPERM || pass->why == EACCES)
        return status_errno(st, pass->why, "unmount %s", pass->path);
    return status_set(st, STATUS_FAILED_PRECONDITION, "unmount %s: %s", pass->path,
                      strerror(pass->why));
}

status_code_t bundle_mounts_unmount(int parent, const char *name, status_t *st)
{
    AUTO_FREE char *base = real_path(parent);
    if (!base)
        return status_errno(st, errno, "find the path of %s", name);
    AUTO_FREE char *top = util_format("%s/%s", base, name);
    pass_t pass = {0};
    int waited_ms = 0;
    for (int i = 0; i < PASSES_MAX; i++) {
        if (unmount_pass(parent, base, top, &pass))
            return status_errno(st, errno, "read " MOUNTINFO);
        if (pass.found == 0) {
            status_clear(st);
            return STATUS_OK;
        }
        if (pass.unmounted > 0)
            continue;
        if (pass.why != EBUSY || waited_ms >= BUNDLE_MOUNTS_BUSY_MS)
            return unmount_failed(&pass, st);
        usleep(PAUSE_MS * 1000);
        waited_ms += PAUSE_MS;
    }
    return status_set(st, STATUS_FAILED_PRECONDITION, "unmount %s: mounted again and again", top);
}
