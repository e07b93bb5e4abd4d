/* Where a cluster is on this machine, and what its supervisor passed to this process. */
#include "common/cluster.h"

#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define LISTEN_FD_FIRST 3  /* SD_LISTEN_FDS_START */
#define LISTEN_FD_MAX   64 /* more than a supervisor ever passes */

static const char *const socket_names[CLUSTER_SOCKETS] = {
    [CLUSTER_CLIENT] = "client.sock",           [CLUSTER_WORKER] = "worker.sock",
    [CLUSTER_PUBLISH] = "publish.sock",         [CLUSTER_EVENTS] = "events.sock",
    [CLUSTER_SHIM_EVENTS] = "shim-events.sock",
};

_Static_assert(CLUSTER_RUN_DIR_MAX + sizeof "/shim-events.sock" <=
                   sizeof(((struct sockaddr_un *)0)->sun_path),
               "a socket's path must fit into sun_path");

/* The whole number in an environment variable, or -1. */
static int number_in(const char *name)
{
    const char *text = getenv(name);
    if (!text || *text < '0' || *text > '9')
        return -1;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    return *end || errno || number > INT_MAX ? -1 : (int)number;
}

static int set_close_on_exec(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    return flags < 0 ? -1 : fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* Number of descriptors that came by systemd's protocol and are meant for this very process. */
static int listen_count(void)
{
    if (number_in("LISTEN_PID") != (int)getpid())
        return 0;
    int count = number_in("LISTEN_FDS");
    return count < 0 || count > LISTEN_FD_MAX ? 0 : count;
}

void cluster_inherit(void)
{
    for (int i = 0; i < listen_count(); i++)
        set_close_on_exec(LISTEN_FD_FIRST + i);
    set_close_on_exec(number_in("SHIMD_READY_FD"));
    set_close_on_exec(number_in("SHIMD_LOCK_FD"));
    set_close_on_exec(number_in("SHIMD_KEEP_FD"));
    unsetenv("SHIMD_LOCK_FD");
}

int cluster_keep_channel(void)
{
    return number_in("SHIMD_KEEP_FD");
}

/* `path` made absolute, without trailing slashes and "/." or "//" in between. ".." stays: a
 * symbolic link may stand before it. */
static status_code_t make_absolute(const char *path, const char *what, char *ret, size_t limit,
                                   status_t *st)
{
    if (!*path)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: the name is empty", what);
    AUTO_FREE char *cwd = *path == '/' ? util_strdup("") : getcwd(NULL, 0);
    if (!cwd)
        return status_errno(st, errno, "%s %s: find the working directory", what, path);
    AUTO_FREE char *whole = util_format("%s/%s", cwd, path);
    AUTO_FREE char *clean = util_strdup(whole);
    size_t used = 0;
    char *rest = NULL;
    for (char *part = strtok_r(whole, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        if (!strcmp(part, "."))
            continue;
        clean[used++] = '/';
        memmove(clean + used, part, strlen(part));
        used += strlen(part);
    }
    if (used == 0)
        clean[used++] = '/';
    clean[used] = '\0';
    if (used > limit)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s %s: %zu bytes long as an absolute name, the limit is %zu", what,
                          clean, used, limit);
    memcpy(ret, clean, used + 1);
    return STATUS_OK;
}

status_code_t cluster_set_run_dir(cluster_t *self, const char *path, status_t *st)
{
    return make_absolute(path, "run directory", self->run_dir, CLUSTER_RUN_DIR_MAX, st);
}

status_code_t cluster_set_root_dir(cluster_t *self, const char *path, status_t *st)
{
    return make_absolute(path, "root directory", self->root_dir, CLUSTER_ROOT_DIR_MAX, st);
}

status_code_t cluster_init(cluster_t *self, status_t *st)
{
    *self = (cluster_t){.run_dir = CLUSTER_RUN_DIR,
                        .root_dir = CLUSTER_ROOT_DIR,
                        .config = CLUSTER_CONFIG,
                        .log_level = LOG_LEVEL_INFO};
    const char *run_dir = getenv("SHIMD_RUN_DIR");
    const char *root_dir = getenv("SHIMD_ROOT_DIR");
    if (run_dir && *run_dir && cluster_set_run_dir(self, run_dir, st))
        return status_wrap(st, "SHIMD_RUN_DIR");
    if (root_dir && *root_dir && cluster_set_root_dir(self, root_dir, st))
        return status_wrap(st, "SHIMD_ROOT_DIR");
    return STATUS_OK;
}

const char *cluster_socket_name(cluster_socket_t socket)
{
    return socket_names[socket];
}

char *cluster_socket_path(const cluster_t *self, cluster_socket_t socket)
{
    return util_format("%s/%s", self->run_dir, socket_names[socket]);
}

char *cluster_endpoint(const cluster_t *self, cluster_socket_t socket)
{
    return util_format("ipc://%s/%s", self->run_dir, socket_names[socket]);
}

/* Which of the colon-separated `names` is `wanted`, or -1. */
static int index_of_name(const char *names, const char *wanted)
{
    size_t size = strlen(wanted);
    for (int i = 0; names; i++) {
        const char *colon = strchr(names, ':');
        size_t length = colon ? (size_t)(colon - names) : strlen(names);
        if (length == size && !memcmp(names, wanted, size))
            return i;
        names = colon ? colon + 1 : NULL;
    }
    return -1;
}

int cluster_inherited_socket(cluster_socket_t socket)
{
    int index = index_of_name(getenv("LISTEN_FDNAMES"), socket_names[socket]);
    if (index < 0 || index >= listen_count())
        return -1;
    int fd = LISTEN_FD_FIRST + index;
    return set_close_on_exec(fd) ? -1 : fd;
}

static int supervisor_fd = -1; /* what SHIMD_READY_FD was, once ready; stays open for more words */

void cluster_notify_ready(void)
{
    int fd = number_in("SHIMD_READY_FD");
    if (fd < 0)
        return;
    unsetenv("SHIMD_READY_FD");
    supervisor_fd = fd;
    ssize_t written = write(fd, "\n", 1);
    (void)written; /* without a supervisor nobody waits for it */
}

bool cluster_notify_busy(void)
{
    return supervisor_fd < 0 || write(supervisor_fd, "+", 1) == 1 || errno == EAGAIN;
}

#define CGROUP_HASH_DIGITS 12

char *cluster_cgroup(const cluster_t *self)
{
    if (!strcmp(self->run_dir, CLUSTER_RUN_DIR))
        return util_strdup("/shimd");
    zdigest_t *digest = zdigest_new();
    zdigest_update(digest, (const byte *)self->run_dir, strlen(self->run_dir));
    char *name = util_format("/shimd-%.*s", CGROUP_HASH_DIGITS, zdigest_string(digest));
    zdigest_destroy(&digest);
    for (char *c = name; *c; c++)
        *c = (char)tolower(*c);
    return name;
}
