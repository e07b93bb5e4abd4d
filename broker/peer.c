/* Who is at the other end, from the kernel. */
#include "broker/router_internal.h"

#include <sys/socket.h>

/* ZMQ_SRCFD names the descriptor the frame came through. When that connection has been closed since
 * and its number taken by another one, the answer is that other peer's; all of them have passed the
 * socket's permissions, so only the record of who asked is affected. */
msg_peer_t peer_of_frame(zmq_msg_t *frame)
{
    msg_peer_t peer = {.pid = 0, .uid = -1, .gid = -1};
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    int fd = zmq_msg_get(frame, ZMQ_SRCFD);
    if (fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) &&
        credentials.pid > 0) {
        peer.pid = credentials.pid;
        peer.uid = credentials.uid;
        peer.gid = credentials.gid;
    }
    return peer;
}
