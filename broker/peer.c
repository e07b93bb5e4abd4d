/* Who is at the other end, from the kernel. */
#include "broker/router_internal.h"

#include <limits.h>

/* libzmq asks for the credentials (SO_PEERCRED) when it accepts a connection over a unix socket,
 * and names them in the address of the peer: "localhost:UID:GID:PID". So they are those of the
 * connection the frame came through, even when that is closed by now. An address of three colons
 * with three numbers behind them is no other family's. */
static bool take_number(const char **text, int64_t *ret)
{
    char *end;
    if (**text != ':' || !isdigit((unsigned char)(*text)[1]))
        return false;
    *ret = strtoll(*text + 1, &end, 10);
    *text = end;
    return true;
}

msg_peer_t peer_of_frame(zmq_msg_t *frame)
{
    static const msg_peer_t unknown = {.pid = 0, .uid = -1, .gid = -1};
    msg_peer_t peer = unknown;
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    const char *text = address ? strchr(address, ':') : NULL;
    if (!text || !take_number(&text, &peer.uid) || !take_number(&text, &peer.gid) ||
        !take_number(&text, &peer.pid) || *text || peer.pid <= 0)
        return unknown; /* no pid: a process of another pid namespace */
    return peer;
}
