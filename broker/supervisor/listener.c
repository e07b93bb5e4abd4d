/* The cluster's listening sockets. */
#include "broker/supervisor/listener.h"

#include "broker/supervisor/handover.h"
#include "common/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG     4096 /* who connects while nobody accepts; the kernel caps it (somaxconn) */
#define OWNER_ONLY  0177 /* umask that leaves 0600 */
#define SHARED_MODE 0660

static status_code_t remove_stale(const char *path, status_t *st)
{
    struct stat info;
    if (lstat(path, &info))
        return errno == ENOENT ? STATUS_OK : status_errno(st, errno, "stat %s", path);
    if (!S_ISSOCK(info.st_mode))
        return status_set(st, STATUS_FAILED_PRECONDITION, "%s is in the way and is not a socket",
                          path);
    if (unlink(path) && errno != ENOENT)
        return status_errno(st, errno, "remove stale %s", path);
    return STATUS_OK;
}

/* The mode comes from the umask and not from a chmod afterwards: nobody may connect in between. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
    mode_t before = umask(OWNER_ONLY);
    int result = bind(fd, (const struct sockaddr *)address, sizeof *address);
    umask(before);
    return result;
}

static status_code_t open_one(const char *path, int *ret_fd, status_t *st)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    if (remove_stale(path, st))
        return st->code;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return status_errno(st, errno, "make a socket");
    if (bind_private(fd, &address))
        return status_errno(st, errno, "bind %s", path);
    if (listen(fd, BACKLOG))
        return status_errno(st, errno, "listen on %s", path);
    *ret_fd = fd;
    fd = -1;
    return STATUS_OK;
}

static status_code_t share(const char *path, gid_t group, status_t *st)
{
    /* Owner first: with the order reversed our own group could connect for a moment. */
    if (chown(path, (uid_t)-1, group))
        return status_errno(st, errno, "give %s to group %u", path, (unsigned)group);
    if (chmod(path, SHARED_MODE))
        return status_errno(st, errno, "chmod %s", path);
    return STATUS_OK;
}

static bool is_shared(cluster_socket_t socket)
{
    return socket == CLUSTER_CLIENT || socket == CLUSTER_EVENTS;
}

json_t *listeners_save(const listeners_t *self)
{
    json_t *state = json_object();
    for (cluster_socket_t i = 0; i < CLUSTER_SOCKETS; i++)
        json_object_set_new(state, cluster_socket_name(i), handover_put_fd(self->fds[i]));
    return state;
}

void listeners_restore(listeners_t *self, const json_t *state)
{
    for (cluster_socket_t i = 0; i < CLUSTER_SOCKETS; i++)
        self->fds[i] = handover_take_fd(state, cluster_socket_name(i));
}

status_code_t listeners_open(listeners_t *self, const cluster_t *cluster, gid_t group,
                             const json_t *inherited, status_t *st)
{
    listeners_restore(self, inherited);
    for (cluster_socket_t i = 0; i < CLUSTER_SOCKETS; i++) {
        if (self->fds[i] >= 0)
            continue;
        AUTO_FREE char *path = cluster_socket_path(cluster, i);
        if (open_one(path, &self->fds[i], st) ||
            (group != LISTENER_NO_GROUP && is_shared(i) && share(path, group, st))) {
            listeners_close(self, cluster);
            return st->code;
        }
    }
    return STATUS_OK;
}

void listeners_close(listeners_t *self, const cluster_t *cluster)
{
    for (cluster_socket_t i = 0; i < CLUSTER_SOCKETS; i++) {
        if (self->fds[i] < 0)
            continue;
        AUTO_FREE char *path = cluster_socket_path(cluster, i);
        (void)unlink(path); /* a successor replaces what is left */
        util_close(&self->fds[i]);
    }
}
