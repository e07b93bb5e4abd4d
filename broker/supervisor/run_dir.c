/* The cluster's directories, and the lock that makes it the only one in them. */
#include "broker/supervisor/run_dir.h"

#include "common/log.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_TICK_MS 10
#define LOCK_GRACE_MS                                                                              \
    300 /* for a killed supervisor to be gone; a living one refuses after that                     \
         */
#define PARENT_MODE    0755
#define OWN_MODE       0711
#define PRIVATE_MODE   0700
#define OTHERS_WRITING (S_IWGRP | S_IWOTH)

static status_code_t make_dir(const char *path, mode_t mode, status_t *st)
{
    if (mkdir(path, mode) == 0) {
        /* The umask had its say in mkdir. */
        return chmod(path, mode) ? status_errno(st, errno, "chmod %s", path) : STATUS_OK;
    }
    if (errno != EEXIST)
        return status_errno(st, errno, "mkdir %s", path);
    struct stat info;
    if (stat(path, &info))
        return status_errno(st, errno, "stat %s", path);
    if (!S_ISDIR(info.st_mode))
        return status_set(st, STATUS_FAILED_PRECONDITION, "%s is not a directory", path);
    if (info.st_uid != geteuid())
        return status_set(st, STATUS_PERMISSION_DENIED, "%s belongs to user %u", path,
                          (unsigned)info.st_uid);
    if (info.st_mode & OTHERS_WRITING)
        return status_set(st, STATUS_PERMISSION_DENIED,
                          "%s can be written to by others (mode %04o)", path,
                          (unsigned)info.st_mode & 07777);
    return STATUS_OK;
}

static status_code_t make_parents(const char *path, status_t *st)
{
    AUTO_FREE char *part = util_strdup(path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, PARENT_MODE) && errno != EEXIST)
            return status_errno(st, errno, "mkdir %s", part);
        *slash = '/';
    }
    return STATUS_OK;
}

static status_code_t make_below(const char *dir, const char *name, mode_t mode, status_t *st)
{
    AUTO_FREE char *path = util_format("%s/%s", dir, name);
    return make_dir(path, mode, st);
}

status_code_t run_dir_make(const cluster_t *cluster, status_t *st)
{
    const char *run = cluster->run_dir, *root = cluster->root_dir;
    if (make_parents(run, st) || make_dir(run, OWN_MODE, st) ||
        make_below(run, "task", OWN_MODE, st))
        return status_wrap(st, "run directory");
    if (make_parents(root, st) || make_dir(root, OWN_MODE, st) ||
        make_below(root, "task", OWN_MODE, st) || make_below(root, "metadata", PRIVATE_MODE, st))
        return status_wrap(st, "root directory");
    return STATUS_OK;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* The pid in the file, for the sentence; 0 when there is none. */
static int recorded_pid(int fd)
{
    char text[32] = "";
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    return size > 0 ? (int)strtol(text, NULL, 10) : 0;
}

static status_code_t lock_out_supervisors(int fd, const char *run_dir, status_t *st)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    for (int waited = 0; fcntl(fd, F_SETLK, &lock); waited += LOCK_TICK_MS) {
        if (errno != EAGAIN && errno != EACCES)
            return status_errno(st, errno, "lock %s/shimd.lock", run_dir);
        if (waited >= LOCK_GRACE_MS) {
            struct flock holder = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
            bool known = !fcntl(fd, F_GETLK, &holder) && holder.l_type != F_UNLCK;
            return status_set(st, STATUS_FAILED_PRECONDITION, "another shimd (pid %d) runs in %s",
                              known && holder.l_pid > 0 ? (int)holder.l_pid : recorded_pid(fd),
                              run_dir);
        }
        pause_ms(LOCK_TICK_MS);
    }
    return STATUS_OK;
}

static status_code_t lock_out_remains(int fd, const char *run_dir, status_t *st)
{
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_TICK_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return status_errno(st, errno, "lock %s/shimd.lock", run_dir);
        if (waited >= RUN_DIR_LOCK_WAIT_MS)
            return status_set(st, STATUS_FAILED_PRECONDITION,
                              "processes of an earlier shimd (pid %d) still run in %s",
                              recorded_pid(fd), run_dir);
        pause_ms(LOCK_TICK_MS);
    }
    return STATUS_OK;
}

status_code_t run_dir_lock(const cluster_t *cluster, int *ret_fd, status_t *st)
{
    AUTO_FREE char *path = util_format("%s/shimd.lock", cluster->run_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return status_errno(st, errno, "open %s", path);
    if (lock_out_supervisors(fd, cluster->run_dir, st) ||
        lock_out_remains(fd, cluster->run_dir, st)) {
        close(fd);
        return st->code;
    }
    char pid[32];
    int size = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)size, 0) != size)
        log_warn("%s: pid not written: %s", path, strerror(errno)); /* the locks are what counts */
    *ret_fd = fd;
    return STATUS_OK;
}

void run_dir_unlock(int *fd)
{
    if (*fd >= 0 && ftruncate(*fd, 0))
        log_warn("empty the lock file: %s", strerror(errno));
    util_close(fd);
}
