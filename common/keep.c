/* Descriptors on their way to the keeper. */
#include "common/keep.h"

#include "common/cluster.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

typedef union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
} control_t;

int keep_send(int channel, int fd)
{
    char byte = 0;
    control_t control = {.bytes = {0}};
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

bool keep_descriptor(int fd)
{
    int channel = cluster_keep_channel();
    if (channel < 0 || !keep_send(channel, fd))
        return true;
    if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM)
        return false;
    log_warn("keep descriptor %d: %s", fd, strerror(errno));
    return true;
}

bool keep_read_word(int channel)
{
    char byte;
    ssize_t size;
    while ((size = recv(channel, &byte, 1, MSG_DONTWAIT)) > 0)
        ;
    return size < 0 && (errno == EAGAIN || errno == EINTR);
}

void keep_send_word(int channel)
{
    if (send(channel, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("keeper's word: %s", strerror(errno));
}

keep_result_t keep_receive(int channel, int *ret)
{
    char byte;
    control_t control = {.bytes = {0}};
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t size = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return KEEP_NOTHING;
    struct cmsghdr *header = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (size > 0 && message.msg_flags & MSG_CTRUNC)
        return KEEP_LOST;
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof *ret))
        return KEEP_CLOSED;
    memcpy(ret, CMSG_DATA(header), sizeof *ret);
    return KEEP_RECEIVED;
}
